/** How the page says things: dates, names, labels. */

/** @typedef {import("./shape.js").Row} Row */

const UNITS = /** @type {const} */ ([
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
]);
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
const DATE = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/** A timestamptz as Postgres writes it, "2026-01-31 11:45:00.1+00". */
export function readDate(/** @type {string} */ text) {
  return new Date(text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"));
}

/** How long ago: "5m ago", "3d ago". */
export function ago(/** @type {string} */ text) {
  const seconds = (Date.now() - readDate(text).getTime()) / 1000;
  const unit = UNITS.find(([, length]) => seconds >= length);
  return unit ? RELATIVE.format(-Math.floor(seconds / unit[1]), unit[0]) : "now";
}

export function fullDate(/** @type {string} */ text) {
  return DATE.format(readDate(text));
}

/** "Priya Desai" → "PD". */
export function initials(/** @type {string} */ name) {
  const words = name.trim().split(/\s+/);
  return words.length > 1 ? words[0][0] + words.at(-1)[0] : name.trim().slice(0, 2);
}

/** A hue that is always the same for the same name. */
export function hue(/** @type {string} */ name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 360;
  return sum;
}

/** "1 row", "2,000 rows". */
export function counted(/** @type {number} */ count, /** @type {string} */ noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** How an issue is called: "ATL-42"; "#42" as long as its project is not known. */
export function issueName(/** @type {Row} */ issue, /** @type {Row | undefined} */ project) {
  return project ? `${project.key}-${issue.id}` : `#${issue.id}`;
}
