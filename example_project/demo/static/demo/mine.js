/**
 * The issues that the user may read and that are not closed.
 *
 * The page names no table and no condition: the declared shape and the policy of its model decide.
 */

import { Shape } from "./shape.js";

const list = document.querySelector("#issues");
const state = document.querySelector("#state");
const problem = document.querySelector("#problem");

const issues = new Shape({}, { url: list.dataset.shape, onChange: show, onState: showState });
issues.start();

function show() {
  const rows = [...issues.rows.values()].sort((a, b) => Number(a.id) - Number(b.id));
  list.replaceChildren(...rows.map(item));
  list.setAttribute("aria-busy", "false");
}

function item({ id, title, status }) {
  const element = document.createElement("li");
  element.dataset.id = String(id);
  element.textContent = `${title} (${status})`;
  return element;
}

function showState() {
  state.dataset.state = issues.state;
  state.querySelector(".text").textContent = issues.state;
  problem.hidden = !issues.reason;
  problem.textContent = issues.reason;
}
