// Runs @electric-sql/client, unmodified, for the Python tests.

import * as electric from '@electric-sql/client'
import { canonical, serve, text, typed, until } from './lines.mjs'
import { Held } from './moves.mjs'

const { Shape, ShapeStream } = electric
const shapes = new Map()

/** Options that JSON cannot hold, made from what Python says. */
function made({ columnMapper, dates, secrets, headers, ...options }) {
  if (columnMapper) {
    options.columnMapper = columnMapper === 'snake_camel' ? electric.snakeCamelMapper() : electric.createColumnMapper(columnMapper)
  }
  if (dates) options.parser = { timestamptz: (value) => new Date(value) }
  if (headers) options.headers = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, async () => value]))
  return options
}

/** A ticket of the gatekeeper, renewed in one of the two ways that the guide shows: in time, or when it is refused. */
class Admission {
  /** `margin`: how many seconds before its end a ticket is renewed; if it is left out, when it is refused. */
  constructor({ url, headers, margin }) {
    this.url = url
    this.headers = headers
    this.margin = margin
    this.tickets = 0
  }

  /** A server that is being restarted is asked again. */
  async ask() {
    const response = await until(() => fetch(this.url, { method: 'POST', headers: this.headers }).catch(() => null), 20_000)
    this.tickets += 1
    return response.json()
  }

  async enter(definition) {
    this.ticket = await this.ask()
    const token = async () => {
      if (Date.now() / 1000 > this.ticket.expires - this.margin) this.ticket = await this.ask()
      return this.ticket.headers.Authorization
    }
    const options = { ...definition.options, admission: this, tickets: this.margin ? { Authorization: token } : this.ticket.headers }
    return { ...definition, url: this.ticket.url, params: { ...this.ticket.params, ...definition.params }, options }
  }

  async renew() {
    this.ticket = await this.ask()
    return this.margin ? {} : { headers: this.ticket.headers }
  }
}

class Followed {
  /**
   * `partial`: only a part of the rows is known, so changes of others are no faults; `byTags`: the rows are what
   * the messages say by tags and moves, and not what the client's Shape holds.
   */
  constructor({ url, params, options: { secrets, partial, byTags, admission, tickets, ...options } }) {
    this.admission = admission
    this.held = new Held()
    this.byTags = byTags
    this.stats = {
      mustRefetch: 0, statuses: {}, handles: [], messages: 0, faults: [], oldValues: 0, moves: 0,
      eventStreams: 0, live: 0, headers: {}, errors: [], events: { 'move-in': 0, 'move-out': 0 },
    }
    this.partial = partial
    this.keys = new Set()
    this.aborter = new AbortController()
    if (secrets) params = { ...params, secret: () => secrets[0] }
    this.stream = new ShapeStream({
      url,
      params,
      signal: this.aborter.signal,
      fetchClient: (...args) => this.#fetch(...args),
      onError: (error) => this.#recover(error, params, secrets),
      backoffOptions: { initialDelay: 20, maxDelay: 500, multiplier: 1.5 },
      warnOnHttp: false,
      ...made(options),
      ...(tickets ? { headers: tickets } : {}),
    })
    this.shape = new Shape(this.stream)
    this.stream.subscribe((messages) => this.#watch(messages), (error) => this.#hear(error, secrets))
  }

  async #fetch(url, init) {
    const response = await fetch(url, init)
    this.stats.statuses[response.status] = (this.stats.statuses[response.status] ?? 0) + 1
    if (new URL(url).searchParams.has('live')) this.stats.live += 1
    if (response.headers.get('content-type')?.startsWith('text/event-stream')) this.stats.eventStreams += 1
    for (const [name, value] of Object.entries(init?.headers ?? {})) this.stats.headers[name.toLowerCase()] = value
    const handle = response.headers.get('electric-handle')
    if (handle && this.stats.handles.at(-1) !== handle) this.stats.handles.push(handle)
    return response
  }

  /** Version 1.0 tells subscribers of an error before it asks `onError`. */
  #hear(error, secrets) {
    if (this.admission && error.status === 401) return
    if (error.status !== 401 || !(secrets?.length > 1)) this.stats.faults.push(String(error))
  }

  /** An error is a fault, but for a 401 while there is another secret to try. */
  #recover(error, params, secrets) {
    this.stats.errors.push(error.status ?? String(error))
    if (this.admission && (error.status === 401 || error.status === 403)) {
      return this.admission.renew()
    }
    if (error.status === 401 && secrets?.length > 1) {
      secrets.shift()
      return { params: { ...params, secret: secrets[0] } }
    }
    this.stats.faults.push(String(error))
  }

  /** The client itself forgives what must not happen: nothing lost, nothing twice. */
  #watch(messages) {
    for (const message of messages) {
      const { key, headers, old_value: old } = message
      for (const gone of this.held.take(message)) if (headers.event) this.keys.delete(gone)
      if (headers.event) {
        this.stats.events[headers.event] += 1
        this.stats.messages += 1
      }
      if (headers.control === 'must-refetch') {
        this.stats.mustRefetch += 1
        this.keys.clear()
      }
      if (!headers.operation || this.#comesAgain(headers)) continue
      this.stats.messages += 1
      if (old !== undefined) this.stats.oldValues += 1
      if (headers.key_change_to) this.stats.moves += 1
      const known = this.keys.has(key)
      const mayBeThere = headers.is_move_in && this.stats.eventStreams > 0
      if (!this.partial && !mayBeThere && known === (headers.operation === 'insert')) {
        this.stats.faults.push(`${headers.operation} of ${key}, which is ${known ? '' : 'not '}there`)
      }
      if (headers.operation === 'delete') this.keys.delete(key)
      else this.keys.add(key)
    }
  }

  /**
   * After an event stream the client goes on from the first change of the last transaction, whose rest may
   * come again (PROTOCOL section 3.6).
   */
  #comesAgain({ lsn, op_position: op }) {
    if (!lsn) return false
    const comesAgain = this.stats.eventStreams > 0 && lsn === this.last?.lsn && op <= this.last.op
    if (!comesAgain) this.last = { lsn, op }
    return comesAgain
  }

  get rows() {
    return this.byTags ? this.held.values : [...this.shape.currentValue.values()]
  }

  report() {
    return {
      ...this.stats,
      tickets: this.admission?.tickets,
      upToDate: this.shape.isUpToDate,
      count: this.rows.length,
      ids: this.rows.slice(0, 100).map((row) => text(row.id)).sort(),
      handle: this.stream.shapeHandle ?? null,
      offset: this.stream.lastOffset,
    }
  }

  /** Whether the rows become equal to the expected ones before the time is up. */
  async expect(expected, timeout) {
    const wanted = canonical(expected)
    let seen = null
    let equal = false
    await until(() => {
      const rows = this.rows
      if (rows.length === wanted.length && this.stats.messages !== seen && this.shape.isUpToDate) {
        seen = this.stats.messages
        const found = canonical(rows)
        equal = found.every((row, i) => row === wanted[i])
      }
      return equal || this.stats.faults.length
    }, timeout)
    if (equal) return { equal, ...this.report() }
    const found = canonical(this.rows)
    const has = new Set(found)
    const wants = new Set(wanted)
    return {
      equal,
      missing: wanted.filter((row) => !has.has(row)).slice(0, 5),
      surplus: found.filter((row) => !wants.has(row)).slice(0, 5),
      ...this.report(),
    }
  }
}

await serve({
  subscribe: async ({ name, ...definition }) => {
    const { gatekeeper, ...options } = definition.options
    const plain = { ...definition, options }
    shapes.set(name, new Followed(gatekeeper ? await new Admission(gatekeeper).enter(plain) : plain))
  },
  expect: ({ name, rows, timeout }) => shapes.get(name).expect(rows, timeout),
  ends: async ({ name, timeout }) => {
    const followed = shapes.get(name)
    const ended = await until(() => Boolean(followed.stats.faults.length && followed.stream.error), timeout)
    return { ended, ...followed.report() }
  },
  report: ({ name }) => shapes.get(name).report(),
  typed: ({ name }) => shapes.get(name).rows.map((row) => typed(row).object),
  snapshot: async ({ name, subset }) => {
    const { metadata, data } = await shapes.get(name).stream.requestSnapshot(subset)
    return { metadata, rows: data.map(({ value }) => Object.fromEntries(Object.entries(value).map(([k, v]) => [k, text(v)]))) }
  },
  stop: ({ name }) => {
    shapes.get(name).aborter.abort()
    shapes.delete(name)
  },
  /** Early versions' SSE asks the document whether it is hidden, also where there is none. */
  pretend_document: () => {
    globalThis.window = globalThis
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }
  },
})
