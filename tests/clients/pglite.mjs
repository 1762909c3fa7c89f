// Runs @electric-sql/pglite-sync for the Python tests: shapes go into the tables of a Postgres inside this process.

import { PGlite } from '@electric-sql/pglite'
import { electricSync } from '@electric-sql/pglite-sync'
import { expectRows, faults, serve, until } from './lines.mjs'

const database = await PGlite.create({ extensions: { electric: electricSync() } })
await database.exec("SET TimeZone = 'UTC'")
const synced = new Map()
const onError = (error) => { faults.push(String(error)) }

const toTable = ({ url, table, primaryKey, params }) => ({ shape: { url, params: { table, ...params } }, table, primaryKey })

await serve({
  exec: ({ statement }) => database.exec(statement).then(() => null),
  sync: async ({ name, key, url, primaryKey, table, params, initialInsertMethod }) => {
    synced.set(name, await database.electric.syncShapeToTable({
      ...toTable({ url, table, primaryKey, params }), shapeKey: key, initialInsertMethod, onError,
    }))
  },
  sync_all: async ({ name, key, shapes }) => {
    const tables = Object.fromEntries(Object.entries(shapes).map(([shape, options]) => [shape, toTable(options)]))
    synced.set(name, await database.electric.syncShapesToTables({ key, shapes: tables, onError }))
  },
  stop: ({ name }) => synced.get(name).unsubscribe(),
  up_to_date: ({ name, timeout }) => until(() => synced.get(name).isUpToDate, timeout),
  expect: ({ query, rows, timeout }) => expectRows(async () => (await database.query(query)).rows, rows, timeout),
  rows: async ({ query }) => (await database.query(query)).rows,
})
