// What all drivers share: commands come in as JSON lines, answers go out as JSON lines with the same id.
//
// A driver is run from the folder into which npm installed its client, through the symbolic link `drivers`
// there: that is how its bare imports find the client's packages.

import { createInterface } from 'node:readline'

/** What went wrong outside of any command; every answer carries it, and every test fails of it. */
export const faults = []

/** What the client made of a value, as Postgres prints it. */
export const text = (value) => (value === null || typeof value === 'string' ? value : String(value))

/** Rows in a form in which two lists of rows are equal if their texts are. */
export const canonical = (rows) =>
  rows.map((row) => JSON.stringify(Object.keys(row).sort().map((name) => [name, text(row[name])]))).sort()

/** The first true result of the probe, or its last one when the time (ms) is up. */
export async function until(probe, timeout) {
  const end = Date.now() + timeout
  for (;;) {
    const result = await probe()
    if (result || Date.now() > end) return result
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Whether `read()` becomes equal to the expected rows before the time (ms) is up; if not, how it differs. */
export async function expectRows(read, expected, timeout) {
  const wanted = canonical(expected)
  let found = []
  const equal = await until(async () => {
    found = canonical(await read())
    return found.length === wanted.length && found.every((row, i) => row === wanted[i])
  }, timeout)
  if (equal) return { equal }
  const has = new Set(found)
  const wants = new Set(wanted)
  return {
    equal,
    missing: wanted.filter((row) => !has.has(row)).slice(0, 5),
    surplus: found.filter((row) => !wants.has(row)).slice(0, 5),
  }
}

/** A value with its JavaScript type, in a form that JSON keeps. */
export function typed(value) {
  if (value === null) return null
  if (Array.isArray(value)) return { array: value.map(typed) }
  if (value instanceof Date) return { date: value.toISOString() }
  if (typeof value === 'object') return { object: Object.fromEntries(Object.entries(value).map(([k, v]) => [k, typed(v)])) }
  return { [typeof value]: typeof value === 'boolean' ? value : String(value) }
}

/** Answer commands until the input ends. An error before that, while the driver loads, ends the process. */
export async function serve(commands) {
  for (const event of ['unhandledRejection', 'uncaughtException']) {
    process.on(event, (error) => faults.push(String(error?.stack ?? error)))
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, command, ...rest } = JSON.parse(line)
    Promise.resolve()
      .then(() => commands[command](rest))
      .then((result) => ({ id, result: result ?? null, faults }), (error) => ({ id, error: String(error?.stack ?? error), faults }))
      .then((answer) => process.stdout.write(JSON.stringify(answer) + '\n'))
  }
  process.exit(0)
}
