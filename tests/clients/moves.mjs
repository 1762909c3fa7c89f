// What a client makes of a shape with subqueries by the messages of a ShapeStream alone (PROTOCOL section 12): its
// own class Shape looks neither at tags nor at moves.

export class Held {
  rows = new Map()
  tags = new Map()

  get values() {
    return [...this.rows.values()]
  }

  clear() {
    this.rows.clear()
    this.tags.clear()
  }

  /** The keys of the rows that a message takes away. */
  take({ key, value, headers }) {
    if (headers.control === 'must-refetch') this.clear()
    if (headers.event) return this.#move(headers)
    if (!headers.operation) return []
    if (headers.operation === 'delete') return this.#drop(key)
    if (headers.operation === 'update' && !this.rows.has(key)) return []
    this.rows.set(key, headers.operation === 'update' ? { ...this.rows.get(key), ...value } : value)
    if (headers.tags) this.tags.set(key, { slots: headers.tags.map((tag) => tag.split('/')), active: [...headers.active_conditions] })
    return []
  }

  #move({ event, patterns }) {
    const gone = []
    for (const [key, { slots, active }] of this.tags) {
      for (const { pos, value } of patterns) {
        if (slots.some((tag) => tag[pos] === value)) active[pos] = event === 'move-in'
      }
      if (!slots.some((tag) => tag.every((slot, at) => !slot || active[at]))) gone.push(...this.#drop(key))
    }
    return gone
  }

  #drop(key) {
    this.rows.delete(key)
    this.tags.delete(key)
    return [key]
  }
}
