// Renders components that use @electric-sql/react's useShape into jsdom, for the Python tests.

import { JSDOM } from 'jsdom'
import { expectRows, faults, serve, until } from './lines.mjs'

// Without pretendToBeVisual the document is hidden, and the client pauses in a hidden document.
const { window } = new JSDOM('<div id="root"></div>', { pretendToBeVisual: true, url: 'http://localhost/' })
globalThis.window = window
globalThis.document = window.document
globalThis.navigator ??= window.navigator
const { createElement: element, StrictMode, useState } = await import('react')
const { createRoot } = await import('react-dom/client')
const { preloadShape, useShape } = await import('@electric-sql/react')

const root = createRoot(window.document.getElementById('root'), { onUncaughtError: (error) => faults.push(String(error)) })
const setters = {}

const printed = (row) => JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? String(value) : value))

/** A list of rows; Python changes its parameters with the command `set`. */
function List({ id, url, initial }) {
  const [params, setParams] = useState(initial)
  setters[id] = setParams
  const { data, isLoading, isError, error } = useShape({ url, params, onError: () => {} })
  const state = isError ? `error ${error.status}` : isLoading ? 'loading' : 'ready'
  return element('ul', { id, 'data-state': state }, data.map((row) => element('li', { key: String(row.id) }, printed(row))))
}

/** Only the number of rows that are done, by a selector. */
function Done({ id, url, initial }) {
  const done = useShape({ url, params: initial, selector: ({ data }) => data.filter((row) => row.done).length })
  return element('b', { id }, String(done))
}

const components = { List, Done }
const shown = (id) => window.document.getElementById(id)
const rows = (id) => [...shown(id).querySelectorAll('li')].map((item) => JSON.parse(item.textContent))

await serve({
  preload: async ({ url, params }) => (await preloadShape({ url, params })).currentRows.length,
  render: ({ parts }) => root.render(element(StrictMode, null, parts.map(({ component, ...props }) => element(components[component], { key: props.id, ...props })))),
  set: ({ part, params }) => setters[part](params),
  expect: ({ part, rows: expected, timeout }) => expectRows(() => (shown(part) ? rows(part) : []), expected, timeout),
  text: ({ part, wanted, timeout }) => until(() => shown(part)?.textContent === wanted, timeout).then(() => shown(part)?.textContent),
  state: ({ part, wanted, timeout }) => until(() => shown(part)?.dataset.state === wanted, timeout).then(() => shown(part)?.dataset.state),
})
