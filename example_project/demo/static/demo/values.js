/**
 * From the text of a Postgres value to a JavaScript value.
 *
 * Every value comes as text or null; the electric-schema header says what each column is. What is not
 * listed here stays text: JavaScript has nothing better for a numeric, a date or an interval.
 */

/** @typedef {{type: string, dims?: number}} Column */

/** @type {Record<string, (text: string) => unknown>} */
const READERS = {
  int2: Number,
  int4: Number,
  int8: readInt8,
  float4: Number,
  float8: Number,
  bool: (text) => text === "true" || text === "t",
  json: JSON.parse,
  jsonb: JSON.parse,
};

/** A number where it is exact, else a BigInt. */
function readInt8(/** @type {string} */ text) {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}

/**
 * @param {Record<string, string | null>} value the `value` of a message
 * @param {Record<string, Column>} schema
 */
export function readRow(value, schema) {
  /** @type {Record<string, unknown>} */
  const row = {};
  for (const [column, text] of Object.entries(value)) row[column] = readValue(text, schema[column]);
  return row;
}

/** @param {string | null} text @param {Column | undefined} column */
function readValue(text, column) {
  if (text === null || !column || column.dims) return text; // arrays stay text: this page has none
  const read = READERS[column.type];
  return read ? read(text) : text;
}
