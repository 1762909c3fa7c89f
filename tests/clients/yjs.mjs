// Runs @electric-sql/y-electric for the Python tests: documents that meet in a table with a bytea column.

import { ElectricProvider, parseToDecoder } from '@electric-sql/y-electric'
import * as decoding from 'lib0/decoding'
import { Awareness } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { serve, until } from './lines.mjs'

const peers = new Map()

class Peer {
  constructor({ url, updates, awareness, room, sendUrl }) {
    this.url = url
    this.options = { updates, awareness, room, sendUrl }
    this.doc = new Y.Doc()
    this.awareness = new Awareness(this.doc)
    this.text = this.doc.getText('text')
    this.received = 0
    this.connect()
  }

  connect(resumeState) {
    const { updates, awareness, room, sendUrl } = this.options
    const shape = (table) => ({ url: this.url, params: { table, where: 'room = $1', params: [room] }, parser: parseToDecoder, warnOnHttp: false })
    this.provider = new ElectricProvider({
      doc: this.doc,
      documentUpdates: {
        shape: shape(updates),
        sendUrl: `${sendUrl}/updates?room=${room}`,
        getUpdateFromRow: (row) => { this.received += 1; return row.op },
      },
      awarenessUpdates: {
        shape: shape(awareness),
        sendUrl: `${sendUrl}/awareness?room=${room}&client=${this.doc.clientID}`,
        protocol: this.awareness,
        getUpdateFromRow: (row) => row.op,
      },
      resumeState,
    })
    this.provider.on('resumeState', (state) => { this.resumeState = { ...state } })
  }
}

await serve({
  open: async ({ name, timeout, ...options }) => {
    const peer = new Peer(options)
    peers.set(name, peer)
    return until(() => peer.provider.synced && peer.provider.connected, timeout)
  },
  insert: ({ name, at, text }) => { peers.get(name).text.insert(at, text) },
  remove: ({ name, at, length }) => { peers.get(name).text.delete(at, length) },
  disconnect: ({ name }) => { peers.get(name).provider.destroy() },
  reconnect: ({ name, timeout }) => {
    const peer = peers.get(name)
    peer.received = 0
    peer.connect(peer.resumeState)
    return until(() => peer.provider.synced, timeout)
  },
  /** Until the texts of these documents are equal and hold all these words; the texts. */
  converged: async ({ names, words, timeout }) => {
    const texts = () => names.map((name) => peers.get(name).text.toString())
    await until(() => new Set(texts()).size === 1 && words.every((word) => texts()[0].includes(word)), timeout)
    return texts()
  },
  received: ({ name }) => peers.get(name).received,
  present: ({ name, state }) => { peers.get(name).awareness.setLocalStateField('user', state) },
  sees: ({ name, other, wanted, timeout }) => {
    const state = () => peers.get(name).awareness.getStates().get(peers.get(other).doc.clientID)?.user ?? null
    return until(() => state() === wanted, timeout).then(state)
  },
  /** The text that these updates, as SELECT gives them (hex of bytea), make of an empty document. */
  text_of: ({ updates }) => {
    const doc = new Y.Doc()
    for (const update of updates) {
      const decoder = parseToDecoder.bytea(update)
      while (decoding.hasContent(decoder)) Y.applyUpdate(doc, decoding.readVarUint8Array(decoder))
    }
    return doc.getText('text').toString()
  },
})
