/* Adds to the log of a shape, at the bottom of its last page, what is added to the log itself. */
"use strict";

(() => {
  const tail = document.getElementById("electric-tail");
  const body = document.getElementById("electric-entries");
  const MOST_ROWS = 500;
  const PATIENCE = 2000;
  let offset = tail.dataset.offset;
  let failures = 0;

  function link(name, value) {
    const anchor = document.createElement("a");
    anchor.href = `?${name}=${encodeURIComponent(value)}`;
    anchor.textContent = value;
    return anchor;
  }

  function cell(row, content, isNarrow) {
    const td = row.insertCell();
    td.append(content);
    if (isNarrow) td.className = "electric-narrow";
    return td;
  }

  function code(value, name) {
    const element = document.createElement("code");
    element.textContent = JSON.stringify(value);
    element.className = name;
    return element;
  }

  /** From here on after a lost connection: rather something twice than something never. */
  function stand(at) {
    const [tx, op] = at.split("_");
    const [lastTx, lastOp] = offset.split("_");
    const isLater = tx === lastTx ? op === "inf" || Number(op) > Number(lastOp) : BigInt(tx) > BigInt(lastTx);
    if (isLater) offset = at;
  }

  /** A change of a row, or a move: that, and the rows that it brings, name no offset. */
  function add(message) {
    const { operation, event, patterns, is_move_in: isMovedIn, lsn, op_position, txids = [] } = message.headers;
    body.querySelector(".electric-none")?.remove();
    const row = body.insertRow();
    row.className = `electric-${operation ?? event} electric-new`;
    const own = lsn === undefined ? "" : `${lsn}_${op_position}`;
    cell(row, own && link("offset", own), true);
    cell(row, isMovedIn ? `${operation} (${tail.dataset.moved})` : (operation ?? event), true);
    cell(row, message.key === undefined ? "" : link("key", message.key));
    const shown = message.value ?? patterns;
    const value = cell(row, shown ? code(shown, "") : "");
    if (message.old_value) value.append(code(message.old_value, "electric-old"));
    const transactions = cell(row, "", true);
    txids.forEach((txid, n) => transactions.append(n ? ", " : "", link("txid", txid)));
    if (own) stand(own);
    while (body.rows.length > MOST_ROWS) body.deleteRow(0);
  }

  function say(text) {
    tail.textContent = text;
  }

  function follow() {
    const source = new EventSource(`${tail.dataset.url}?offset=${encodeURIComponent(offset)}`);
    source.onopen = () => {
      failures = 0;
      say(tail.dataset.live);
    };
    source.onmessage = (event) => {
      const message = JSON.parse(event.data);
      const { operation, event: move, control, global_last_seen_lsn: lsn } = message.headers;
      if (operation || move) add(message);
      else if (control === "up-to-date") stand(`${lsn}_inf`);
    };
    source.onerror = () => {
      // It ends every minute. Another one goes on behind the last entry, which this one would not.
      source.close();
      failures += 1;
      if (failures > 5) {
        say(tail.dataset.gone);
        return;
      }
      say(tail.dataset.lost);
      setTimeout(follow, PATIENCE);
    };
  }

  follow();
})();
