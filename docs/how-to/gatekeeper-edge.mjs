// An edge function in front of a Django project with django_electric: it checks the gatekeeper's token by itself, and
// asks, through a cache if there is one, with the secret. docs/how-to/gatekeeper.md explains it; tests/edge runs this very file.
//
// env.ORIGIN    where the project is, or the cache in front of it: https://origin.example
// env.SECRET    ELECTRIC_SECRET, which no client gets to see
// env.AUDIENCE  REPLICATION_STREAM_ID, `default` if you have not set it
// env.KEYS      a JSON list of the keys whose tokens are good: the public halves, as PEM, or the secrets of HS256

const ALGORITHMS = {
  HS256: { name: 'HMAC', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
}
const LEEWAY = 2
/** What only the token may say, and the secrets. */
const FROM_THE_TOKEN = new Set(['table', 'where', 'params', 'columns', 'queryable_columns', 'secret', 'api_secret'])

const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
const json = (text) => JSON.parse(new TextDecoder().decode(bytes(text)))

class Refusal extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }

  response(origin) {
    const headers = {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'access-control-allow-origin': origin ?? '*',
    }
    if (this.status === 401) headers['www-authenticate'] = `Bearer error="invalid_token", error_description="${this.message}"`
    return new Response(JSON.stringify({ message: this.message }), { status: this.status, headers })
  }
}

/** The key as WebCrypto has it. Its kind says the algorithm; what the token says of that does not count. */
async function imported(key) {
  if (!key.includes('-----BEGIN')) {
    const raw = new TextEncoder().encode(key)
    return crypto.subtle.importKey('raw', raw, ALGORITHMS.HS256, false, ['verify'])
  }
  const spki = bytes(key.replace(/-----[^-]+-----|\s/g, ''))
  for (const algorithm of [ALGORITHMS.RS256, ALGORITHMS.ES256]) {
    try {
      return await crypto.subtle.importKey('spki', spki, algorithm, false, ['verify'])
    } catch {
      // It is of the other kind.
    }
  }
  throw new Error('KEYS holds a PEM that is no public key of RSA or P-256')
}

async function isSigned(token, keys) {
  const end = token.lastIndexOf('.')
  const [said, signature] = [new TextEncoder().encode(token.slice(0, end)), bytes(token.slice(end + 1))]
  for (const text of keys) {
    const key = await imported(text)
    if (await crypto.subtle.verify({ ...key.algorithm, hash: 'SHA-256' }, key, signature, said)) return true
  }
  return false
}

/** What the token says, if it is good now. */
async function claims(request, env) {
  const [scheme, token] = (request.headers.get('authorization') ?? '').split(/\s+/)
  if (scheme.toLowerCase() !== 'bearer' || !token) throw new Refusal(401, 'A token of the gatekeeper is needed')
  let header, said, signed
  try {
    const [head, body] = token.split('.')
    ;[header, said, signed] = [json(head), json(body), await isSigned(token, JSON.parse(env.KEYS))]
  } catch (error) {
    if (error.message.startsWith('KEYS')) throw error
  }
  const isOurs = signed && header.typ === 'electric+jwt' && said.iss === 'django_electric' && said.aud === env.AUDIENCE
  if (!isOurs || typeof said.exp !== 'number') throw new Refusal(401, 'The token is not valid')
  if (said.exp + LEEWAY <= Date.now() / 1000) throw new Refusal(401, 'The token has expired')
  return said
}

/** A list of columns as the server reads it. */
const names = (text) =>
  [...text.matchAll(/"((?:[^"]|"")*)"|[^,]+/g)].map(([whole, inner]) => inner?.replaceAll('""', '"') ?? whole.toLowerCase())
const quoted = (name) => (/^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`)

/** The shape of the token as the parameters of a request. */
function definition({ table, where, params, columns }) {
  const query = new URLSearchParams({ table })
  if (where != null) query.set('where', where)
  for (const [number, value] of Object.entries(params ?? {})) query.set(`params[${number}]`, value)
  if (columns != null) query.set('columns', columns.map(quoted).join(','))
  return query
}

/** Refuses a request for anything but the shape of the token. */
function compare(url, shape) {
  const wanted = definition(shape)
  const path = url.pathname.replace(/\/+/g, '/').replace(/\/$/, '')
  if (path !== (shape.name == null ? '/v1/shape' : `/shapes/${shape.name}`)) throw new Refusal(403, 'The token is for another shape')
  const keys = new Set([...wanted.keys(), ...url.searchParams.keys()])
  for (const key of keys) {
    const root = key.split('[')[0]
    if (!['table', 'where', 'params', 'columns'].includes(root)) continue
    if (key === 'table' && shape.name != null && !url.searchParams.has('table')) continue
    const given = url.searchParams.getAll(key)
    const same = (a, b) => (key === 'columns' && a && b ? JSON.stringify(names(a)) === JSON.stringify(names(b)) : a === b)
    if (given.length !== 1 || !same(given[0], wanted.get(key))) throw new Refusal(403, `The token is for another shape: ${root}`)
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url)
    try {
      if (request.method !== 'GET') throw new Refusal(405, 'Only GET can be checked')
      const { shape } = await claims(request, env)
      compare(url, shape)
      const query = definition(shape)
      // Conditions of subsets would tell what stands in the other columns.
      if (query.has('columns')) query.set('queryable_columns', query.get('columns'))
      for (const [key, value] of url.searchParams) if (!FROM_THE_TOKEN.has(key.split('[')[0])) query.append(key, value)
      query.set('secret', env.SECRET)
      const answer = await fetch(`${env.ORIGIN}/v1/shape?${query}`, { signal: request.signal })
      const headers = new Headers(answer.headers)
      for (const name of ['content-encoding', 'content-length', 'transfer-encoding', 'connection']) headers.delete(name)
      // For whoever showed the token, and for no cache that others share.
      headers.set('cache-control', 'private, no-cache')
      headers.append('vary', 'authorization')
      return new Response(answer.body, { status: answer.status, headers })
    } catch (error) {
      if (error instanceof Refusal) return error.response(request.headers.get('origin'))
      throw error
    }
  },
}
