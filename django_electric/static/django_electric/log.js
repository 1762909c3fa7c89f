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

  function add(message) {
    const { operation, lsn, op_position, txids } = message.headers;
    offset = `${lsn}_${op_position}`;
    body.querySelector(".electric-none")?.remove();
    const row = body.insertRow();
    row.className = `electric-${operation} electric-new`;
    cell(row, link("offset", offset), true);
    cell(row, operation, true);
    cell(row, link("key", message.key));
    const value = cell(row, message.value ? code(message.value, "") : "");
    if (message.old_value) value.append(code(message.old_value, "electric-old"));
    cell(row, txids ? link("txid", txids.join(", ")) : "", true);
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
      if (message.headers.operation) add(message);
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
