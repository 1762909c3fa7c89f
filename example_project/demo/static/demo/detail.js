/** The panel of one issue: its fields, its comments, and how to change it from outside. */

import { ago, counted, fullDate, hue, initials, issueName } from "./format.js";
import { flash } from "./list.js";
import { showErrors, write } from "./write.js";

/** @typedef {import("./shape.js").Row} Row */
/** @typedef {import("./shape.js").Shape} Shape */

const AUTHOR = "demo-author";

export class Detail {
  /** @type {Row | null} */
  #issue = null;
  /** @type {Shape | null} */
  #comments = null;
  /** Fields that were edited and not saved: what comes from the server must not overwrite them. */
  #edited = new Set();

  /**
   * @param {HTMLElement} panel
   * @param {object} options
   * @param {import("./shape.js").Gate} options.gate
   * @param {(definition: import("./shape.js").Definition, onChange: () => void) => Shape} options.follow
   * @param {() => void} options.onClose
   */
  constructor(panel, { gate, follow, onClose }) {
    this.panel = panel;
    this.gate = gate;
    this.follow = follow;
    this.onClose = onClose;
    this.form = panel.querySelector("form.issue");
    this.commentForm = panel.querySelector("form.comment");
    this.list = panel.querySelector(".comments");
    this.confirm = document.querySelector("#confirm");
    this.commentForm.elements.author.value = localStorage.getItem(AUTHOR) ?? "";
    this.#listen();
  }

  get id() {
    return this.#issue?.id ?? null;
  }

  /** @param {Row} issue @param {Row | undefined} project */
  open(issue, project) {
    const isOther = issue.id !== this.id;
    this.panel.hidden = false;
    if (isOther) this.#change(issue);
    this.update(issue, project);
    if (isOther) this.panel.querySelector("h2").focus({ preventScroll: true });
  }

  close() {
    this.#comments?.stop();
    this.#comments = this.#issue = null;
    this.panel.hidden = true;
  }

  /**
   * The row has changed, or it has left the shape (undefined).
   *
   * @param {Row | undefined} issue
   * @param {Row | undefined} project
   */
  update(issue, project) {
    this.panel.querySelector(".note").hidden = issue !== undefined;
    if (!issue) return;
    const before = this.#issue;
    this.#issue = issue;
    this.panel.querySelector("h2").textContent = issueName(issue, project);
    this.panel.querySelector("header .swatch").style.setProperty("--color", project?.color ?? "");
    this.#fill(issue, before);
  }

  #listen() {
    const { form, panel, commentForm } = this;
    panel.querySelector(".close").addEventListener("click", () => this.onClose());
    panel.addEventListener("keydown", (event) => event.key === "Escape" && this.onClose());
    form.addEventListener("input", (event) => this.#onInput(event.target));
    form.addEventListener("change", (event) => this.#onChoice(event.target));
    form.elements.title.addEventListener("keydown", submitOnEnter);
    onSubmit(form, () => this.#save([...this.#edited]));
    onSubmit(commentForm, () => this.#comment());
    form.querySelector(".revert").addEventListener("click", () => this.#revert());
    form.querySelector(".delete").addEventListener("click", () => this.confirm.showModal());
    this.confirm.addEventListener(
      "close",
      () => this.confirm.returnValue === "delete" && this.#delete(),
    );
  }

  /** @param {Row} issue */
  #change(issue) {
    this.#comments?.stop();
    this.#issue = null;
    this.#edited.clear();
    this.list.replaceChildren();
    this.panel.scrollTop = 0;
    this.commentForm.elements.body.value = "";
    showErrors(this.form, {});
    showErrors(this.commentForm, {});
    this.panel.querySelector(".psql code").textContent =
      `UPDATE demo_issue SET title = 'Hello from psql'\n WHERE id = ${issue.id};`;
    const definition = { table: "demo_comment", where: "issue_id = $1", params: [issue.id] };
    const comments = this.follow(definition, (changes, isFirst) =>
      this.#showComments(comments, changes, isFirst),
    );
    this.#comments = comments;
  }

  #fill(/** @type {Row} */ issue, /** @type {Row | null} */ before) {
    for (const name of ["title", "status", "priority", "assignee", "description"]) {
      if (this.#edited.has(name)) continue;
      const field = this.form.elements[name];
      field.value = String(issue[name]);
      if (before && before[name] !== issue[name]) flash(field, "update");
    }
    this.form.querySelector(".dates").textContent =
      `Opened ${fullDate(issue.created)}, updated ${fullDate(issue.updated)} (${ago(issue.updated)})`;
    this.#showButtons();
  }

  #showButtons() {
    this.form.querySelector(".save").disabled = this.#edited.size === 0;
    this.form.querySelector(".revert").hidden = this.#edited.size === 0;
  }

  #onInput(/** @type {HTMLInputElement} */ field) {
    const isEdited = field.value !== String(this.#issue?.[field.name]);
    this.#edited[isEdited ? "add" : "delete"](field.name);
    this.#showButtons();
  }

  /** A choice is saved when it is made; what is being written waits for the button. */
  #onChoice(/** @type {HTMLInputElement} */ field) {
    if (field.matches("select")) this.#save([field.name]);
  }

  #revert() {
    this.#edited.clear();
    showErrors(this.form, {});
    if (this.#issue) this.#fill(this.#issue, null);
  }

  /** Only what was edited is sent, so that two people who edit different fields do not undo each other. */
  async #save(/** @type {string[]} */ names) {
    const issue = this.#issue;
    if (!issue || names.length === 0) return;
    const sent = Object.fromEntries(names.map((name) => [name, this.form.elements[name].value]));
    const outcome = await write(`/demo/issues/${issue.id}/`, sent, this.gate);
    if (this.id !== issue.id) return;
    showErrors(this.form, outcome.ok ? {} : outcome.errors);
    if (!outcome.ok) return;
    for (const [name, value] of Object.entries(sent)) {
      if (this.form.elements[name].value === value) this.#edited.delete(name);
    }
    this.#showButtons();
  }

  async #delete() {
    const outcome = await write(`/demo/issues/${this.id}/delete/`, {}, this.gate);
    if (outcome.ok) this.onClose();
    else showErrors(this.form, outcome.errors);
  }

  async #comment() {
    const { author, body } = this.commentForm.elements;
    const button = this.commentForm.querySelector("button");
    localStorage.setItem(AUTHOR, author.value);
    button.disabled = true;
    const sent = { author: author.value, body: body.value };
    const outcome = await write(`/demo/issues/${this.id}/comments/`, sent, this.gate);
    button.disabled = false;
    showErrors(this.commentForm, outcome.ok ? {} : outcome.errors);
    if (outcome.ok) body.value = "";
  }

  /**
   * @param {Shape} shape
   * @param {Map<string, import("./shape.js").Operation>} changes
   * @param {boolean} isFirst
   */
  #showComments(shape, changes, isFirst) {
    if (shape !== this.#comments) return;
    const rows = [...shape.rows].sort(
      ([, a], [, b]) => byText(a.created, b.created) || Number(a.id) - Number(b.id),
    );
    this.panel.querySelector("#comments-title").textContent = counted(rows.length, "comment");
    const shown = new Map([...this.list.children].map((element) => [element.dataset.key, element]));
    this.list.replaceChildren(...rows.map(([key, row]) => fillComment(shown.get(key), key, row)));
    if (isFirst) return;
    for (const element of this.list.children) {
      const operation = changes.get(element.dataset.key);
      if (operation) flash(element, operation);
    }
  }
}

/** @param {HTMLElement | undefined} shown @param {string} key @param {Row} row */
function fillComment(shown, key, row) {
  const template = document.querySelector("#comment-template");
  const element = shown ?? template.content.firstElementChild.cloneNode(true);
  element.dataset.key = key;
  fillAvatar(element.querySelector(".avatar"), row.author);
  element.querySelector("strong").textContent = row.author;
  element.querySelector("time").textContent = ago(row.created);
  element.querySelector("time").title = fullDate(row.created);
  element.querySelector(".body").textContent = row.body;
  return element;
}

/** @param {HTMLElement} element @param {string} person */
export function fillAvatar(element, person) {
  element.textContent = person ? initials(person) : "";
  element.title = person || "Nobody";
  element.classList.toggle("nobody", !person);
  element.style.setProperty("--hue", String(hue(person)));
}

/** @param {HTMLFormElement} form @param {() => void} action */
function onSubmit(form, action) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

/** The title may take several lines on the screen, but it is one line. */
function submitOnEnter(/** @type {KeyboardEvent} */ event) {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

function byText(a, b) {
  return a < b ? -1 : Number(a > b);
}
