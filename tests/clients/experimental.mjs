// Runs @electric-sql/experimental for the Python tests: matchStream, and several shapes as one stream.

import { isChangeMessage, ShapeStream } from '@electric-sql/client'
import { matchBy, matchStream, MultiShapeStream, TransactionalMultiShapeStream } from '@electric-sql/experimental'
import { expectRows, faults, serve, text } from './lines.mjs'

const streams = new Map()
const matches = new Map()
const kinds = { MultiShapeStream, TransactionalMultiShapeStream }
const onError = (error) => { faults.push(String(error)) }

/** Several shapes, materialised from the joint stream, and the batches of changes in which they came. */
class Joint {
  constructor({ kind, url, tables }) {
    this.rows = Object.fromEntries(tables.map((table) => [table, new Map()]))
    this.batches = []
    const shapes = Object.fromEntries(tables.map((table) => [table, { url, params: { table }, onError }]))
    this.stream = new kinds[kind]({ shapes })
    this.stream.subscribe((messages) => this.#apply(messages.filter(isChangeMessage)))
  }

  #apply(changes) {
    for (const { shape, key, value, headers } of changes) {
      const known = this.rows[shape]
      if (headers.operation === 'delete') known.delete(key)
      else known.set(key, { ...known.get(key), ...value })
    }
    if (changes.length) this.batches.push(changes.map(({ shape, value, headers }) => `${headers.operation} ${shape} ${text(value.id)}`))
  }
}

await serve({
  subscribe: ({ name, url, params }) => { streams.set(name, new ShapeStream({ url, params, onError })) },
  match: ({ name, number, operations, column, value, timeout }) => {
    const match = matchStream(streams.get(name), operations, matchBy(column, value), timeout)
    match.catch(() => {})
    matches.set(number, match)
  },
  matched: async ({ number }) => {
    try {
      const { key, value, headers } = await matches.get(number)
      return { key, operation: headers.operation, value: Object.fromEntries(Object.entries(value).map(([k, v]) => [k, text(v)])) }
    } catch (error) {
      return { refused: String(error) }
    }
  },
  join: ({ name, ...definition }) => { streams.set(name, new Joint(definition)) },
  expect: ({ name, table, rows, timeout }) => expectRows(() => [...streams.get(name).rows[table].values()], rows, timeout),
  batches: ({ name }) => streams.get(name).batches,
})
