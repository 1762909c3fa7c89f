// Runs an edge function under node: `node serve.mjs FUNCTION PORT`, its `env` being the environment.

import { createServer } from 'node:http'
import { Readable } from 'node:stream'

const [, , path, port] = process.argv
const { default: edge } = await import(path)

createServer(async (incoming, outgoing) => {
  const aborter = new AbortController()
  outgoing.on('close', () => aborter.abort())
  const request = new Request(`http://edge.example${incoming.url}`, {
    method: incoming.method, headers: incoming.headers, signal: aborter.signal,
  })
  try {
    const answer = await edge.fetch(request, process.env)
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers))
    outgoing.flushHeaders()
    if (answer.body) Readable.fromWeb(answer.body).on('error', () => outgoing.end()).pipe(outgoing)
    else outgoing.end()
  } catch (error) {
    outgoing.writeHead(500).end(String(error))
  }
}).listen(Number(port), '127.0.0.1')
