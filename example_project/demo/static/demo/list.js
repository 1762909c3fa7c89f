/**
 * A list that draws only the rows in view: five thousand rows cost as much as fifty.
 *
 * It is a listbox. The viewport has the focus and says which option is active; arrows, Home, End and
 * the page keys move through all rows, also through those that are not drawn.
 */

/** @typedef {import("./shape.js").Row} Row */
/** @typedef {{key: string, row: Row}} Item */
/** @typedef {{element: HTMLElement, row: Row | null, index: number}} Drawn */

/** Rows drawn above and below those in view, so that scrolling does not show blanks. */
const MARGIN = 8;

export class VirtualList {
  /** @type {Item[]} */
  #items = [];
  /** @type {Map<string, number>} */
  #indexes = new Map();
  /** @type {Map<string, Drawn>} */
  #drawn = new Map();
  #rowHeight = 0;
  #names = 0;
  /** @type {string | null} */
  #active = null;
  /** @type {string | null} */
  #selected = null;

  /**
   * @param {HTMLElement} viewport the element that scrolls
   * @param {object} options
   * @param {HTMLTemplateElement} options.template one row
   * @param {(element: HTMLElement, row: Row) => void} options.fill
   * @param {(key: string) => void} options.onOpen
   */
  constructor(viewport, { template, fill, onOpen }) {
    this.viewport = viewport;
    this.canvas = viewport.firstElementChild;
    this.template = template;
    this.fill = fill;
    this.onOpen = onOpen;
    viewport.addEventListener("scroll", () => this.#draw(), { passive: true });
    viewport.addEventListener("keydown", (event) => this.#onKey(event));
    viewport.addEventListener("click", (event) => this.#onClick(event));
    new ResizeObserver(() => this.#measure()).observe(viewport);
    this.#measure();
  }

  /** @param {Item[]} items all rows in order */
  show(items) {
    const anchor = this.#anchor();
    this.#items = items;
    this.#indexes = new Map(items.map(({ key }, index) => [key, index]));
    this.canvas.style.height = `${items.length * this.#rowHeight}px`;
    this.#restore(anchor);
    this.#draw();
  }

  /** Fill the drawn rows again: something that they show has changed, though not the rows themselves. */
  refill() {
    for (const drawn of this.#drawn.values()) drawn.row = null;
    this.#draw();
  }

  /** @param {Map<string, import("./shape.js").Operation>} changes */
  flash(changes) {
    for (const [key, operation] of changes) {
      const drawn = this.#drawn.get(key);
      if (drawn) flash(drawn.element, operation);
    }
  }

  /** @param {string | null} key */
  select(key) {
    this.#selected = key;
    if (key) this.#active = key;
    this.#draw();
  }

  scrollToTop() {
    this.viewport.scrollTop = 0;
  }

  #measure() {
    const height = Number.parseFloat(
      getComputedStyle(this.viewport).getPropertyValue("--row-height"),
    );
    if (height === this.#rowHeight) return this.#draw();
    this.#rowHeight = height;
    for (const drawn of this.#drawn.values()) drawn.index = -1;
    this.show(this.#items);
  }

  /** The row at the top of the view and how much of it is hidden; none while we are at the very top. */
  #anchor() {
    const { scrollTop } = this.viewport;
    const index = Math.floor(scrollTop / this.#rowHeight);
    return scrollTop > 0 && this.#items[index]
      ? { key: this.#items[index].key, hidden: scrollTop - index * this.#rowHeight }
      : null;
  }

  /** Keep the view still when rows come and go above it. */
  #restore(/** @type {{key: string, hidden: number} | null} */ anchor) {
    const index = anchor && this.#indexes.get(anchor.key);
    if (anchor && index !== null && index !== undefined) {
      this.viewport.scrollTop = index * this.#rowHeight + anchor.hidden;
    }
  }

  #draw() {
    const { scrollTop, clientHeight } = this.viewport;
    const first = Math.max(0, Math.floor(scrollTop / this.#rowHeight) - MARGIN);
    const last = Math.min(
      this.#items.length,
      Math.ceil((scrollTop + clientHeight) / this.#rowHeight) + MARGIN,
    );
    this.#discard(first, last);
    // In document order, for those who read the page by ear.
    let next = this.canvas.firstElementChild;
    for (let index = first; index < last; index++) {
      const { element } = this.#place(index);
      if (element === next) next = next.nextElementSibling;
      else this.canvas.insertBefore(element, next);
    }
    this.#markActive();
  }

  /** Remove the rows that are gone or out of view. */
  #discard(/** @type {number} */ first, /** @type {number} */ last) {
    for (const [key, { element }] of this.#drawn) {
      const index = this.#indexes.get(key);
      if (index !== undefined && index >= first && index < last) continue;
      element.remove();
      this.#drawn.delete(key);
    }
  }

  /** @param {number} index */
  #place(index) {
    const { key, row } = this.#items[index];
    const drawn = this.#drawn.get(key) ?? this.#create(key);
    if (drawn.row !== row) this.fill(drawn.element, row);
    if (drawn.index !== index)
      drawn.element.style.transform = `translateY(${index * this.#rowHeight}px)`;
    drawn.row = row;
    drawn.index = index;
    drawn.element.setAttribute("aria-posinset", String(index + 1));
    drawn.element.setAttribute("aria-setsize", String(this.#items.length));
    drawn.element.setAttribute("aria-selected", String(key === this.#selected));
    return drawn;
  }

  /** @param {string} key @returns {Drawn} */
  #create(key) {
    const element = this.template.content.firstElementChild.cloneNode(true);
    element.id = `row-${++this.#names}`;
    element.dataset.key = key;
    const drawn = { element, row: null, index: -1 };
    this.#drawn.set(key, drawn);
    return drawn;
  }

  #markActive() {
    const active = this.#active === null ? undefined : this.#drawn.get(this.#active);
    for (const { element } of this.#drawn.values())
      element.classList.toggle("active", element === active?.element);
    if (active) this.viewport.setAttribute("aria-activedescendant", active.element.id);
    else this.viewport.removeAttribute("aria-activedescendant");
  }

  #onClick(/** @type {MouseEvent} */ event) {
    const key = event.target.closest("[data-key]")?.dataset.key;
    if (key) this.onOpen(key);
  }

  #onKey(/** @type {KeyboardEvent} */ event) {
    const page = Math.max(1, Math.floor(this.viewport.clientHeight / this.#rowHeight) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    if (event.key in steps) this.#move(steps[event.key]);
    else if ((event.key === "Enter" || event.key === " ") && this.#active)
      this.onOpen(this.#active);
    else return;
    event.preventDefault();
  }

  /** @param {number} step */
  #move(step) {
    const before = this.#active === null ? -1 : (this.#indexes.get(this.#active) ?? -1);
    const index = Math.min(Math.max(before + step, 0), this.#items.length - 1);
    if (index < 0) return;
    this.#active = this.#items[index].key;
    this.#reveal(index);
    this.#draw();
  }

  /** @param {number} index */
  #reveal(index) {
    const top = index * this.#rowHeight;
    const { scrollTop, clientHeight } = this.viewport;
    if (top < scrollTop) this.viewport.scrollTop = top;
    else if (top + this.#rowHeight > scrollTop + clientHeight) {
      this.viewport.scrollTop = top + this.#rowHeight - clientHeight;
    }
  }
}

/**
 * Let an element shine up: something has changed here.
 *
 * @param {HTMLElement} element
 * @param {import("./shape.js").Operation} operation
 */
export function flash(element, operation) {
  element.classList.remove("flash-insert", "flash-update");
  void element.offsetWidth; // start again, even if the last one has not faded yet
  element.classList.add(`flash-${operation}`);
}
