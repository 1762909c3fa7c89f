/**
 * Which rows go when another table changes.
 *
 * A shape's condition may have subqueries: project_id IN (SELECT …). Each of its rows then comes with tags, one
 * for each alternative of the condition, in slots: what the row compares with a subquery, as a hash. A move says
 * of a slot and a hash that what they stand for is true from now on, or is no longer. A row of which no alternative
 * is left has gone; what comes is sent as any row.
 */
export class Tags {
  /** @type {Map<string, {tags: string[][], active: boolean[]}>} */
  #rows = new Map();

  /**
   * Remember what a message says of a row.
   * @param {string} key @param {{operation: string, tags?: string[], active_conditions?: boolean[]}} headers
   * @returns {string[]} the keys of the rows that have gone
   */
  note(key, { operation, tags, active_conditions: active = [] }) {
    if (operation === "delete") return this.#drop(key);
    if (tags) {
      this.#rows.set(key, { tags: tags.map((tag) => tag.split("/")), active: [...active] });
    }
    return [];
  }

  /**
   * @param {{event: "move-in" | "move-out", patterns: {pos: number, value: string}[]}} headers
   * @returns {string[]} the keys of the rows that have gone
   */
  move({ event, patterns }) {
    const gone = [];
    for (const [key, { tags, active }] of this.#rows) {
      for (const { pos, value } of patterns) {
        if (tags.some((slots) => slots[pos] === value)) active[pos] = event === "move-in";
      }
      const holds = tags.some((slots) => slots.every((slot, at) => slot === "" || active[at]));
      if (!holds) gone.push(...this.#drop(key));
    }
    return gone;
  }

  /** @param {string} key */
  #drop(key) {
    this.#rows.delete(key);
    return [key];
  }
}
