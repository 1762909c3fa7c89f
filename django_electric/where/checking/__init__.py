"""How operands get their types and what is made of them: each module knows one more kind of expression."""
