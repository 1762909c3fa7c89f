// Runs @tanstack/electric-db-collection for the Python tests. Collections write through an HTTP endpoint of the test.

import { createCollection, createLiveQueryCollection, eq, gte } from '@tanstack/db'
import { electricCollectionOptions, isChangeMessage } from '@tanstack/electric-db-collection'
import { expectRows, serve } from './lines.mjs'

const collections = new Map()
const requests = new Map()
const gates = new Map()

async function write(url, mutations) {
  const body = JSON.stringify(mutations.map(({ type, original, modified, changes }) => ({ type, id: (original?.id ?? modified.id), modified, changes })))
  const response = await fetch(url, { method: 'POST', body })
  if (!response.ok) throw new Error(await response.text())
  return response.json()
}

/** Notes what a collection asks for; `held`: the answers that are no subsets wait for the command `release`. */
function recorded(name, held) {
  const released = held && new Promise((resolve) => gates.set(name, resolve))
  return async (url, init) => {
    const parameters = [...new URL(url).searchParams]
    const subset = Object.fromEntries(parameters.filter(([key]) => key.startsWith('subset__')))
    const { offset } = Object.fromEntries(parameters)
    const isSubset = init?.method === 'POST' || Object.keys(subset).length > 0
    const request = { offset, isSubset }
    requests.get(name).push(request)
    const response = await fetch(url, init)
    request.status = response.status
    if (!isSubset) await released
    return response
  }
}

function collect({ name, url, table, params, syncMode, writes, liveSse, held }) {
  requests.set(name, [])
  const send = async ({ transaction }) => write(writes, transaction.mutations)
  collections.set(name, createCollection(electricCollectionOptions({
    id: name,
    getKey: (row) => row.id,
    syncMode,
    shapeOptions: { url, params: { table, ...params }, fetchClient: recorded(name, held), liveSse, warnOnHttp: false },
    onInsert: send,
    onUpdate: send,
    onDelete: send,
  })))
}

/** A live query: rows of a project, or with at least this weight, in order. */
function query({ name, of, project, atLeast, order, limit }) {
  const source = collections.get(of)
  const asked = (q) => {
    let built = q.from({ issue: source })
    if (project !== undefined) built = built.where(({ issue }) => eq(issue.project, project))
    if (atLeast !== undefined) built = built.where(({ issue }) => gte(issue.weight, atLeast))
    if (order) built = built.orderBy(({ issue }) => issue[order], 'desc')
    return limit ? built.limit(limit) : built
  }
  // Nobody subscribes to it: by default its rows would be forgotten after five seconds.
  const live = createLiveQueryCollection({ query: asked, gcTime: 0 })
  live.startSyncImmediate()
  collections.set(name, live)
}

const plain = ({ id, title, project, weight, done }) => ({ id, title, project, weight, done })
const rows = (name) => collections.get(name).toArray.map(plain)

const changes = {
  insert: (collection, row) => collection.insert(row),
  update: (collection, { id, ...values }) => collection.update(id, (draft) => { Object.assign(draft, values) }),
  delete: (collection, { id }) => collection.delete(id),
}

await serve({
  collect,
  query,
  preload: ({ name }) => collections.get(name).preload(),
  ready: ({ name }) => collections.get(name).status,
  release: ({ name }) => gates.get(name)(),
  requests: ({ name }) => requests.get(name),
  expect: async ({ name, rows: expected, timeout }) => ({
    ...await expectRows(() => rows(name), expected, timeout),
    collections: [...collections].map(([id, { status, size }]) => `${id}: ${status}, ${size} rows`),
    requests: Object.fromEntries(requests),
  }),
  ids: ({ name }) => rows(name).map(({ id }) => id),
  /** The rows right after an optimistic change, and whether the server's stream confirmed it. */
  change: async ({ name, operation, row }) => {
    const collection = collections.get(name)
    const transaction = changes[operation](collection, row)
    const optimistic = rows(name).find(({ id }) => id === row.id) ?? null
    await transaction.isPersisted.promise
    const confirmed = collection._state.syncedData.get(row.id)
    return { optimistic, confirmed: confirmed ? plain(confirmed) : null, state: transaction.state }
  },
  refused: async ({ name, operation, row }) => {
    const collection = collections.get(name)
    try {
      await changes[operation](collection, row).isPersisted.promise
      return null
    } catch (error) {
      return String(error)
    }
  },
  await_txid: ({ name, txid, timeout }) => collections.get(name).utils.awaitTxId(txid, timeout).catch(String),
  await_title: ({ name, title, timeout }) =>
    collections.get(name).utils.awaitMatch((message) => isChangeMessage(message) && message.value.title === title, timeout).catch(String),
})
