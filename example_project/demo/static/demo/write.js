/**
 * Writing: a form's fields, posted to an ordinary Django view.
 *
 * The answer says whether the row was saved; the row itself comes back through the shapes.
 */

/** @typedef {{ok: true, id: number} | {ok: false, errors: Record<string, string[]>}} Outcome */

/**
 * @param {string} path
 * @param {Record<string, string>} fields
 * @param {import("./shape.js").Gate} gate closed while we write, to free a connection for it
 * @returns {Promise<Outcome>}
 */
export async function write(path, fields, gate) {
  gate.close("writing");
  try {
    const headers = { "X-CSRFToken": csrfToken(), Accept: "application/json" };
    const response = await fetch(path, {
      method: "POST",
      headers,
      body: new URLSearchParams(fields),
    });
    return await outcome(response);
  } catch {
    return failed("The server cannot be reached. Nothing was saved.");
  } finally {
    gate.open("writing");
  }
}

/** @param {Response} response @returns {Promise<Outcome>} */
async function outcome(response) {
  if (response.ok) return { ok: true, id: (await response.json()).id };
  if (response.status === 400) return { ok: false, errors: (await response.json()).errors };
  if (response.status === 403) return failed("This page is out of date. Load it again.");
  if (response.status === 404) return failed("This issue is gone: somebody has deleted it.");
  return failed(`The server answered ${response.status}. Nothing was saved.`);
}

/** @param {string} message @returns {Outcome} */
function failed(message) {
  return { ok: false, errors: { __all__: [message] } };
}

function csrfToken() {
  return document.querySelector("meta[name=csrf-token]").content;
}

/**
 * Show each message at its field, and those that belong to none at the form's own place.
 *
 * @param {HTMLFormElement} form
 * @param {Record<string, string[]>} errors
 */
export function showErrors(form, errors) {
  for (const place of form.querySelectorAll("[data-error]")) {
    const messages = errors[place.dataset.error] ?? [];
    place.textContent = messages.join(" ");
    form.elements
      .namedItem(place.dataset.error)
      ?.setAttribute("aria-invalid", String(messages.length > 0));
  }
  const wrong = form.querySelector('[aria-invalid="true"]');
  if (wrong) wrong.focus();
}
