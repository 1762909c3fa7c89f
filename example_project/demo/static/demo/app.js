/**
 * The page: which shapes it follows, and what it shows of them.
 *
 * It follows three at most: the projects, the issues that the filters select, and the comments of the
 * issue that is open. Each filter is a shape of its own; to filter is to follow another shape.
 */

import { Detail, fillAvatar } from "./detail.js";
import { ago, counted, fullDate, issueName } from "./format.js";
import { VirtualList } from "./list.js";
import { Gate, Shape } from "./shape.js";
import { showErrors, write } from "./write.js";

/** @typedef {import("./shape.js").Row} Row */
/** @typedef {import("./shape.js").Operation} Operation */

const $ = (/** @type {string} */ selector) => document.querySelector(selector);

const STATE_TEXTS = {
  live: "Live",
  connecting: "Connecting",
  reconnecting: "Reconnecting",
  offline: "Offline",
  failed: "Stopped",
};
/** The page's state is that of its worst shape. */
const BEST_TO_WORST = Object.keys(STATE_TEXTS);
const SORTS = {
  newest: (a, b) => b.id - a.id,
  updated: (a, b) => (a.updated < b.updated ? 1 : a.updated > b.updated ? -1 : b.id - a.id),
  priority: (a, b) => b.priority - a.priority || b.id - a.id,
};
const TRIPS_KEPT = 12;

const gate = new Gate();
const filters = $("#filters");
const choice = readAddress();
/** @type {Map<number, Row>} */
const projectsById = new Map();
/** @type {Map<string, Operation>} what has changed since the list was last drawn */
const changed = new Map();
let isDrawing = false;

const list = new VirtualList($("#issues"), {
  template: $("#row-template"),
  fill: fillRow,
  onOpen: (key) => openIssue(issues.rows.get(key)),
});
const detail = new Detail($("#detail"), { gate, follow, onClose: closeIssue });
const projects = follow(
  { table: "demo_project", columns: ["id", "name", "key", "color"] },
  showProjects,
);
let issues = followIssues();

listen();

/** Follow a shape: what it tells goes to `onChange`, how it fares to the header and the footer. */
function follow(definition, onChange) {
  const shape = new Shape(definition, { gate, onChange, onState: showState, onTrip: showTrip });
  shape.start();
  return shape;
}

function followIssues() {
  $("#issues").setAttribute("aria-busy", "true");
  changed.clear();
  const shape = follow(
    issuesDefinition(),
    (changes, isFirst) => shape === issues && onIssues(changes, isFirst),
  );
  return shape;
}

/** The filters as a shape: `project_id = $1 AND status = $2`. */
function issuesDefinition() {
  const columns = { project_id: choice.project, status: choice.status };
  const chosen = Object.entries(columns).filter(([, value]) => value);
  return {
    table: "demo_issue",
    where: chosen.map(([column], i) => `${column} = $${i + 1}`).join(" AND ") || undefined,
    params: chosen.map(([, value]) => value),
  };
}

/** @param {Map<string, Operation>} changes @param {boolean} isFirst */
function onIssues(changes, isFirst) {
  if (isFirst) {
    $("#issues").setAttribute("aria-busy", "false");
    list.scrollToTop();
  } else {
    for (const [key, operation] of changes) changed.set(key, operation);
    showLastChange(changes);
  }
  drawSoon();
}

/** However many changes arrive, the list is drawn once for each frame of the screen. */
function drawSoon() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    draw();
  });
}

function draw() {
  const compare = SORTS[choice.sort];
  const items = [...issues.rows].map(([key, row]) => ({ key, row }));
  list.show(items.sort((a, b) => compare(a.row, b.row)));
  list.flash(changed);
  changed.clear();
  $("#empty").hidden = items.length > 0;
  $("#row-count").textContent = items.length.toLocaleString("en");
  const open = issues.rows.get(issueKey(choice.issue));
  if (detail.id !== null) detail.update(open, projectsById.get(open?.project_id));
  else if (open) openIssue(open);
}

/** How the protocol calls the row. */
function issueKey(/** @type {string | number} */ id) {
  return `"public"."demo_issue"/"${id}"`;
}

/** @param {HTMLElement} element @param {Row} issue */
function fillRow(element, issue) {
  const project = projectsById.get(issue.project_id);
  const status = labelOf("#edit-status", issue.status);
  const priority = labelOf("#edit-priority", issue.priority);
  const name = issueName(issue, project);
  element.style.setProperty("--color", project?.color ?? "");
  element.querySelector(".name").textContent = name;
  element.querySelector(".title").textContent = issue.title;
  setIcon(element.querySelector(".status"), "status", issue.status);
  setIcon(element.querySelector(".priority"), "priority", issue.priority);
  fillAvatar(element.querySelector(".avatar"), issue.assignee);
  element.querySelector("time").textContent = ago(issue.updated);
  element.querySelector("time").title = `Updated ${fullDate(issue.updated)}`;
  const assignee = issue.assignee || "nobody";
  element.setAttribute(
    "aria-label",
    `${name}: ${issue.title}. ${status}, ${priority}, ${assignee}`,
  );
}

function setIcon(
  /** @type {SVGElement} */ icon,
  /** @type {string} */ kind,
  /** @type {unknown} */ value,
) {
  icon.setAttribute("class", `icon ${kind} ${kind}-${value}`);
  icon.firstElementChild.setAttribute("href", `#${kind}-${value}`);
}

/** The label that the template gave to a value; the value itself if psql made it up. */
function labelOf(/** @type {string} */ select, /** @type {unknown} */ value) {
  return $(`${select} option[value="${CSS.escape(String(value))}"]`)?.textContent ?? String(value);
}

// --- Projects --------------------------------------------------------------------------------------

function showProjects() {
  projectsById.clear();
  const sorted = [...projects.rows.values()].sort((a, b) => a.name.localeCompare(b.name));
  for (const project of sorted) projectsById.set(project.id, project);
  $("#projects").replaceChildren(
    ...[...$("#projects").children].slice(0, 2),
    ...sorted.map(projectChoice),
  );
  const select = $("#new-project");
  const { value } = select;
  select.replaceChildren(...sorted.map(({ id, name }) => new Option(name, id)));
  if (projectsById.has(Number(value))) select.value = value;
  list.refill();
  drawSoon();
}

/** @param {Row} project */
function projectChoice(project) {
  const label = $("#project-template").content.firstElementChild.cloneNode(true);
  const radio = label.querySelector("input");
  radio.value = project.id;
  radio.checked = choice.project === String(project.id);
  label.querySelector(".label").textContent = project.name;
  label.querySelector(".swatch").style.setProperty("--color", project.color);
  return label;
}

// --- Opening, creating, filtering ------------------------------------------------------------------

/** @param {Row | undefined} issue */
function openIssue(issue) {
  if (!issue) return;
  choice.issue = String(issue.id);
  document.body.classList.add("has-detail");
  list.select(issueKey(issue.id));
  detail.open(issue, projectsById.get(issue.project_id));
  writeAddress();
}

function closeIssue() {
  choice.issue = "";
  document.body.classList.remove("has-detail");
  detail.close();
  list.select(null);
  $("#issues").focus();
  writeAddress();
}

function onFilter() {
  const { project, status, sort } = Object.fromEntries(new FormData(filters));
  const isSameShape = project === choice.project && status === choice.status;
  Object.assign(choice, { project, status, sort });
  writeAddress();
  if (isSameShape) return drawSoon();
  issues.stop();
  issues = followIssues();
  showState();
}

function showCreate() {
  const form = $("#create form");
  form.reset();
  showErrors(form, {});
  if (choice.project) form.elements.project.value = choice.project;
  if (choice.status) form.elements.status.value = choice.status;
  $("#create").showModal();
}

async function create(/** @type {SubmitEvent} */ event) {
  event.preventDefault();
  const form = $("#create form");
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  const outcome = await write("/demo/issues/", Object.fromEntries(new FormData(form)), gate);
  button.disabled = false;
  showErrors(form, outcome.ok ? {} : outcome.errors);
  if (!outcome.ok) return;
  $("#create").close();
  if (detail.id !== null) closeIssue();
  // It opens by itself when it arrives, as a row of the shape.
  choice.issue = String(outcome.id);
  drawSoon();
}

// --- What is going on ------------------------------------------------------------------------------

function showState() {
  const shapes = [issues, projects];
  const { state, reason } = shapes.reduce((a, b) => (rank(b) > rank(a) ? b : a));
  const pill = $("#state");
  if (pill.dataset.state !== state) {
    pill.dataset.state = state;
    pill.querySelector(".text").textContent = STATE_TEXTS[state];
  }
  pill.title = reason;
  showProblem(state === "failed" ? reason : "");
  const { where, params, table } = issues.definition;
  $("#definition").textContent = where ? `${table} where ${where} [${params.join(", ")}]` : table;
  $("#handle").textContent = issues.handle ?? "–";
  $("#offset").textContent = issues.offset;
}

function rank(/** @type {Shape} */ shape) {
  return BEST_TO_WORST.indexOf(shape.state);
}

function showProblem(/** @type {string} */ reason) {
  const hint = reason.startsWith("401")
    ? " This page needs an open server: ELECTRIC_INSECURE=true."
    : "";
  $("#problem").hidden = !reason;
  $("#problem").textContent = reason && `The server does not answer as it should: ${reason}${hint}`;
}

/** @param {Map<string, Operation>} changes */
function showLastChange(changes) {
  const time = new Date().toLocaleTimeString("en", { hourCycle: "h23" });
  const [[key, operation]] = changes;
  const id = key.match(/\/"(.*)"$/)?.[1];
  const row = issues.rows.get(key) ?? { id };
  const name = issueName(row, projectsById.get(row.project_id));
  const what = changes.size === 1 ? `${name} ${operation}` : counted(changes.size, "row");
  $("#last-change").textContent = `${what} at ${time}`;
}

/** @param {import("./shape.js").Trip} trip */
function showTrip({ url, status, milliseconds, messages }) {
  const item = document.createElement("li");
  const took =
    milliseconds < 1000
      ? `${Math.round(milliseconds)} ms`
      : `${(milliseconds / 1000).toFixed(1)} s`;
  const query = decodeURIComponent(url.search.replaceAll("+", " "));
  item.textContent = `${status} · ${took} · ${counted(messages, "message")} · ${query}`;
  const trips = $("#trips ol");
  trips.prepend(item);
  while (trips.children.length > TRIPS_KEPT) trips.lastElementChild.remove();
}

// --- The address, so that a view can be kept and shared ----------------------------------------------

function readAddress() {
  const given = new URLSearchParams(location.search);
  const sort = given.get("sort") ?? "";
  const [project, status, issue] = ["project", "status", "issue"].map(
    (name) => given.get(name) ?? "",
  );
  return {
    project: /^\d+$/.test(project) ? project : "",
    status,
    issue,
    sort: sort in SORTS ? sort : "newest",
  };
}

function writeAddress() {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(choice)) {
    if (value && value !== "newest") url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  history.replaceState(null, "", url);
}

function listen() {
  filters.elements.status.value = choice.status;
  filters.elements.sort.value = choice.sort;
  filters.addEventListener("change", onFilter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  $("#new-issue").addEventListener("click", showCreate);
  $("#create form").addEventListener("submit", create);
  $("#create .cancel").addEventListener("click", () => $("#create").close());
  document.addEventListener("visibilitychange", heedVisibility);
  setInterval(() => list.refill(), 60_000); // "3m ago" grows old
  heedVisibility();
}

/** A tab that nobody sees leaves the connections to those that somebody does. */
function heedVisibility() {
  if (document.hidden) gate.close("hidden");
  else gate.open("hidden");
}
