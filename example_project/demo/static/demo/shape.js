/**
 * A client for Electric's shape protocol, small enough to be read at one sitting.
 *
 * A shape is the rows of one table that match a where clause, and the log of what happens to them.
 * Reading it is a walk along that log, one plain GET after the other:
 *
 *   offset=-1                          the first rows; the answer names a handle and the next offset
 *   offset=0_0  & handle=H             on from there, until an answer carries electric-up-to-date
 *   offset=26_4 & handle=H & live=true the same, but the server holds the request until there is news
 *
 * A 409 means that this handle's log is gone: start over at -1, and keep showing the old rows until
 * the new ones are complete. Whatever else goes wrong, the place in the log is known and nothing is
 * lost: ask again from there.
 */

import { Tags } from "./tags.js";
import { readRow } from "./values.js";

/** @typedef {Record<string, unknown>} Row */
/** @typedef {"insert" | "update" | "delete"} Operation */
/** @typedef {"connecting" | "live" | "reconnecting" | "offline" | "failed"} State */
/** @typedef {{table?: string, where?: string, params?: (string | number)[], columns?: string[]}} Definition */
/** @typedef {{url: URL, status: number, milliseconds: number, messages: number}} Trip */

/** A request that waits at the server for longer than this has lost its connection without a word. */
const LONGEST_WAIT = 90_000;
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 30_000;

/** The server said no, and would say no again. */
export class Refused extends Error {}

/** The server cannot answer now, or cannot be reached. */
class Unavailable extends Error {
  /** @param {string} message @param {number} retryAfter the least time to wait, in ms */
  constructor(message, retryAfter = 0) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/** The gate closed while a request was waiting. */
class Held extends Error {}

/**
 * Holds live requests back while there is a reason to.
 *
 * Browsers open six connections to a server that speaks HTTP/1.1, shared by all of its tabs, and every
 * live request occupies one. So a tab that nobody sees gives its connections up, and a tab that wants
 * to write makes room for that. Nothing is lost: a shape that goes on asks for all that it missed.
 */
export class Gate extends EventTarget {
  /** @type {Set<string>} */
  #reasons = new Set();

  get isOpen() {
    return this.#reasons.size === 0;
  }

  /** @param {string} reason */
  close(reason) {
    this.#reasons.add(reason);
    this.dispatchEvent(new Event("close"));
  }

  /** @param {string} reason */
  open(reason) {
    this.#reasons.delete(reason);
    if (this.isOpen) this.dispatchEvent(new Event("open"));
  }
}

/** The rows of one shape, kept up to date. */
export class Shape {
  /** @type {Map<string, Row>} the rows by key, as of the last up-to-date */
  rows = new Map();
  /** @type {State} */
  state = "connecting";
  /** @type {string | null} */
  handle = null;
  offset = "-1";
  /** Why the state is not "live", in words. */
  reason = "";

  #cursor = "";
  #schema = {};
  #isUpToDate = false;
  /** Messages that came since the last up-to-date: not shown before they are complete. */
  #pending = [];
  #tags = new Tags();
  #isRefetch = false;
  #isFirst = true;
  #expiredHandle = "";
  #failures = 0;
  #refetches = 0;
  #stopping = new AbortController();

  /**
   * @param {Definition} definition
   * @param {object} options
   * @param {Gate} [options.gate]
   * @param {string} [options.url] where the server answers /v1/shape
   * @param {(changes: Map<string, Operation>, isFirst: boolean) => void} [options.onChange]
   *   the rows have changed: which keys, and how; once with isFirst when the shape is complete
   * @param {() => void} [options.onState] state, handle or offset have changed
   * @param {(trip: Trip) => void} [options.onTrip] a request has been answered
   */
  constructor(definition, { gate = new Gate(), url = "/v1/shape", ...callbacks } = {}) {
    this.definition = definition;
    this.url = new URL(url, location.href);
    this.gate = gate;
    this.callbacks = callbacks;
  }

  /** Follow the log until `stop` is called. */
  async start() {
    const { signal } = this.#stopping;
    while (!signal.aborted && this.state !== "failed") {
      try {
        if (this.#isUpToDate) await opened(this.gate, signal);
        await this.#step();
      } catch (error) {
        await this.#recover(error);
      }
    }
  }

  /** Follow no longer. The rows stay as they are. */
  stop() {
    this.#stopping.abort();
  }

  /** One request and what follows from its answer. */
  async #step() {
    const url = this.#nextUrl();
    const started = performance.now();
    const { response, messages } = await this.#fetch(url);
    const milliseconds = performance.now() - started;
    this.callbacks.onTrip?.({
      url,
      status: response.status,
      milliseconds,
      messages: messages.length,
    });
    if (response.status === 409 || messages.some(isMustRefetch)) await this.#startOver();
    else this.#read(response, messages);
  }

  #nextUrl() {
    const { table, where, params = [], columns } = this.definition;
    const url = new URL(this.url);
    if (table) url.searchParams.set("table", table);
    if (where) url.searchParams.set("where", where);
    params.forEach((value, i) => url.searchParams.set(`params[${i + 1}]`, String(value)));
    if (columns) url.searchParams.set("columns", columns.join(","));
    url.searchParams.set("offset", this.offset);
    if (this.handle) url.searchParams.set("handle", this.handle);
    if (this.#isUpToDate) {
      url.searchParams.set("live", "true");
      url.searchParams.set("cursor", this.#cursor);
    }
    // The answer to offset=-1 may be kept by caches for days. Naming the handle that is gone makes it
    // another URL, so that no cache hands us the same dead log again.
    if (this.#expiredHandle && this.offset === "-1") {
      url.searchParams.set("expired_handle", this.#expiredHandle);
    }
    return url;
  }

  /** @param {URL} url */
  async #fetch(url) {
    const aborting = new AbortController();
    const signal = AbortSignal.any([this.#stopping.signal, aborting.signal]);
    const hold = () => aborting.abort(new Held());
    const giveUp = () =>
      aborting.abort(new Unavailable("The server has been silent for too long."));
    const lose = () => aborting.abort(new Unavailable("The network is gone."));
    if (this.#isUpToDate) this.gate.addEventListener("close", hold);
    addEventListener("offline", lose);
    const timer = setTimeout(giveUp, LONGEST_WAIT);
    try {
      // After a failure we want to know how the server is, not what a cache remembers of it.
      const cache = this.#failures ? "no-store" : "default";
      const response = await fetch(url, { signal, cache });
      await throwUnlessReadable(response);
      return { response, messages: await response.json() };
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      clearTimeout(timer);
      removeEventListener("offline", lose);
      this.gate.removeEventListener("close", hold);
    }
  }

  /** @param {Response} response @param {object[]} messages */
  #read({ headers }, messages) {
    const handle = headers.get("electric-handle");
    const offset = headers.get("electric-offset");
    if (!handle || !offset) {
      throw new Refused(
        "The answer has no electric-handle or electric-offset: is a proxy removing headers?",
      );
    }
    this.handle = handle;
    this.offset = offset;
    this.#cursor = headers.get("electric-cursor") ?? this.#cursor;
    this.#schema = JSON.parse(headers.get("electric-schema") ?? "null") ?? this.#schema;
    this.#isUpToDate = headers.has("electric-up-to-date");
    this.#failures = 0;
    for (const message of messages) {
      if (message.key || message.headers.event) this.#pending.push(message);
    }
    if (this.#isUpToDate) this.#publish();
    this.#enter(this.#isUpToDate ? "live" : this.state);
  }

  /** Show what has come: whole transactions, as of one moment. */
  #publish() {
    const changes = this.#isRefetch ? this.#replaceRows() : this.#applyPending(this.rows);
    const isFirst = this.#isFirst;
    this.#pending = [];
    this.#isRefetch = this.#isFirst = false;
    this.#refetches = 0;
    if (changes.size || isFirst) this.callbacks.onChange?.(changes, isFirst);
  }

  /** @param {Map<string, Row>} rows */
  #applyPending(rows) {
    /** @type {Map<string, Operation>} */
    const changes = new Map();
    for (const { key, value, headers } of this.#pending) {
      const before = rows.get(key);
      const gone = headers.event ? this.#tags.move(headers) : this.#tags.note(key, headers);
      for (const one of gone) {
        if (rows.delete(one) || one === key) changes.set(one, "delete");
      }
      if (headers.operation === "insert" || headers.operation === "update") {
        // An insert carries the whole row, an update only the key and what has changed.
        rows.set(key, { ...before, ...readRow(value, this.#schema) });
        changes.set(key, before || changes.get(key) === "delete" ? "update" : "insert");
      }
    }
    return changes;
  }

  /** After a refetch: exchange the old rows for the new ones, and tell what differs. */
  #replaceRows() {
    /** @type {Map<string, Row>} */
    const fresh = new Map();
    this.#tags = new Tags();
    this.#applyPending(fresh);
    /** @type {Map<string, Operation>} */
    const changes = new Map();
    for (const key of this.rows.keys()) if (!fresh.has(key)) changes.set(key, "delete");
    for (const [key, row] of fresh) {
      const before = this.rows.get(key);
      if (!before) changes.set(key, "insert");
      else if (!isSameRow(before, row)) changes.set(key, "update");
    }
    this.rows = fresh;
    return changes;
  }

  async #startOver() {
    this.#expiredHandle = this.handle ?? String(Date.now());
    this.handle = null;
    this.offset = "-1";
    this.#cursor = "";
    this.#pending = [];
    this.#isUpToDate = false;
    this.#isRefetch = true;
    this.#enter("connecting", "The server has begun a new log for this shape.");
    // Once is normal. Again, without having read anything in between, is no reason to hurry.
    if (this.#refetches++) await pause(backOff(this.#refetches), this.#stopping.signal);
  }

  /** @param {unknown} error */
  async #recover(error) {
    if (this.#stopping.signal.aborted || error instanceof Held) return;
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof Refused) return this.#enter("failed", message);
    this.#failures += 1;
    // Ask without waiting at first: it tells at once whether the server is back.
    this.#isUpToDate = false;
    this.#enter(navigator.onLine ? "reconnecting" : "offline", message);
    const least = error instanceof Unavailable ? error.retryAfter : 0;
    await pause(Math.max(least, backOff(this.#failures)), this.#stopping.signal);
  }

  /** @param {State} state */
  #enter(state, reason = "") {
    this.state = state;
    this.reason = reason;
    this.callbacks.onState?.();
  }
}

/** @param {Response} response */
async function throwUnlessReadable(response) {
  if (response.ok || response.status === 409) return;
  const problem = `${response.status} ${await explanation(response)}`;
  if (response.status < 500 && response.status !== 429) throw new Refused(problem);
  throw new Unavailable(problem, 1000 * (Number(response.headers.get("retry-after")) || 0));
}

/** What an error's body says: `{"message": …, "errors": {field: [text, …]}}`, if it can be read. */
async function explanation(/** @type {Response} */ response) {
  const body = await response.json().catch(() => ({}));
  const fields = Object.entries(body.errors ?? {}).map(([field, texts]) => `${field} ${texts}`);
  return [body.message ?? response.statusText, ...fields].join(": ");
}

/** Longer with each failure, and never the same for two clients, so that they do not return as one. */
function backOff(/** @type {number} */ failures) {
  const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures);
  return longest / 2 + (Math.random() * longest) / 2;
}

/** Wait, but not when the browser says that the network is back, and not when the shape is stopped. */
function pause(/** @type {number} */ milliseconds, /** @type {AbortSignal} */ signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve(undefined);
    }
  });
}

/** Wait until the gate is open, or the shape is stopped. */
async function opened(/** @type {Gate} */ gate, /** @type {AbortSignal} */ signal) {
  while (!gate.isOpen && !signal.aborted) {
    await new Promise((resolve) => {
      gate.addEventListener("open", done);
      signal.addEventListener("abort", done);
      function done() {
        gate.removeEventListener("open", done);
        signal.removeEventListener("abort", done);
        resolve(undefined);
      }
    });
  }
}

function isMustRefetch(message) {
  return message.headers?.control === "must-refetch";
}

function isSameRow(/** @type {Row} */ a, /** @type {Row} */ b) {
  return Object.keys(b).every((column) => a[column] === b[column]);
}
