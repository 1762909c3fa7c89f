// Runs @electric-sql/client, unmodified, for the Python tests. Commands come in as JSON lines, answers
// go out as JSON lines with the same id. Usage: node driver.mjs FOLDER, where FOLDER/node_modules has the client.

import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = process.argv[2]
const entry = join(folder, 'node_modules/@electric-sql/client/dist/index.mjs')
const { Shape, ShapeStream } = await import(pathToFileURL(entry).href)

const shapes = new Map()
const faults = []

process.on('unhandledRejection', (error) => faults.push(String(error?.stack ?? error)))
process.on('uncaughtException', (error) => faults.push(String(error?.stack ?? error)))

/** What the client made of a value, as Postgres prints it. */
const text = (value) => (value === null || typeof value === 'string' ? value : String(value))

const canonical = (rows) =>
  rows.map((row) => JSON.stringify(Object.keys(row).sort().map((name) => [name, text(row[name])]))).sort()

class Followed {
  constructor({ url, params, options }) {
    this.stats = { mustRefetch: 0, statuses: {}, handles: [], messages: 0, faults: [], oldValues: 0, moves: 0 }
    this.keys = new Set()
    this.aborter = new AbortController()
    this.stream = new ShapeStream({
      url,
      params,
      signal: this.aborter.signal,
      fetchClient: (...args) => this.#fetch(...args),
      onError: (error) => { this.stats.faults.push(String(error)) },
      backoffOptions: { initialDelay: 20, maxDelay: 500, multiplier: 1.5 },
      ...options,
    })
    this.shape = new Shape(this.stream)
    this.stream.subscribe((messages) => this.#watch(messages), (error) => this.stats.faults.push(String(error)))
  }

  async #fetch(...args) {
    const response = await fetch(...args)
    this.stats.statuses[response.status] = (this.stats.statuses[response.status] ?? 0) + 1
    const handle = response.headers.get('electric-handle')
    if (handle && this.stats.handles.at(-1) !== handle) this.stats.handles.push(handle)
    return response
  }

  /** The client itself forgives what must not happen: nothing lost, nothing twice. */
  #watch(messages) {
    for (const { key, headers, old_value: old } of messages) {
      if (headers.control === 'must-refetch') {
        this.stats.mustRefetch += 1
        this.keys.clear()
      }
      if (!headers.operation) continue
      this.stats.messages += 1
      if (old !== undefined) this.stats.oldValues += 1
      if (headers.key_change_to) this.stats.moves += 1
      const known = this.keys.has(key)
      if (known === (headers.operation === 'insert')) {
        this.stats.faults.push(`${headers.operation} of ${key}, which is ${known ? '' : 'not '}there`)
      }
      if (headers.operation === 'delete') this.keys.delete(key)
      else this.keys.add(key)
    }
  }

  get rows() {
    return [...this.shape.currentValue.values()]
  }

  report() {
    return {
      ...this.stats,
      upToDate: this.shape.isUpToDate,
      count: this.shape.currentValue.size,
      ids: this.rows.slice(0, 100).map((row) => text(row.id)).sort(),
      handle: this.stream.shapeHandle ?? null,
      offset: this.stream.lastOffset,
    }
  }

  /** Whether the rows become equal to the expected ones before the time is up. */
  async expect(expected, timeout) {
    const wanted = canonical(expected)
    const end = Date.now() + timeout
    let seen = null
    for (;;) {
      const rows = this.rows
      if (rows.length === wanted.length && this.stats.messages !== seen && this.shape.isUpToDate) {
        seen = this.stats.messages
        const found = canonical(rows)
        if (found.every((row, i) => row === wanted[i])) return { equal: true, ...this.report() }
      }
      if (Date.now() > end || this.stats.faults.length) {
        const found = canonical(rows)
        const has = new Set(found)
        const wants = new Set(wanted)
        return {
          equal: false,
          missing: wanted.filter((row) => !has.has(row)).slice(0, 5),
          surplus: found.filter((row) => !wants.has(row)).slice(0, 5),
          ...this.report(),
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

const commands = {
  subscribe: ({ name, ...definition }) => { shapes.set(name, new Followed(definition)) },
  expect: ({ name, rows, timeout }) => shapes.get(name).expect(rows, timeout),
  report: ({ name }) => shapes.get(name).report(),
  stop: ({ name }) => {
    shapes.get(name).aborter.abort()
    shapes.delete(name)
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, ...rest } = JSON.parse(line)
  Promise.resolve()
    .then(() => commands[command](rest))
    .then((result) => ({ id, result: result ?? null, faults }), (error) => ({ id, error: String(error?.stack ?? error), faults }))
    .then((answer) => process.stdout.write(JSON.stringify(answer) + '\n'))
}
process.exit(0)
