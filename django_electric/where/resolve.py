"""Which operator or function a call means: parse_oper.c, parse_func.c and parse_coerce.c of Postgres.

The rules are those of sections 10.2, 10.3 and 10.5 of its manual. Types are names; a literal or
parameter that waits for its type is `UNKNOWN_TYPE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from django_electric.where import catalog
from django_electric.where.catalog import Signature
from django_electric.where.types import (
    UNKNOWN_TYPE,
    EnumName,
    array_of,
    element_of,
    is_array,
    is_enum,
)

_ELEMENTS = frozenset({"anyelement", "anynonarray", "anyenum"})
_COMPATIBLES = frozenset({"anycompatible", "anycompatiblenonarray"})
_POLYMORPHIC = (
    _ELEMENTS
    | _COMPATIBLES
    | {"anyarray", "anycompatiblearray", "anyrange", "anymultirange"}
    | {"anycompatiblerange", "anycompatiblemultirange"}
)


class Resolved(NamedTuple):
    """What a call means."""

    signature: Signature
    arguments: tuple[str, ...]
    """The types that the arguments are cast to: nowhere polymorphic, but ``any``."""
    result: str


class Candidate(NamedTuple):
    """An overload with its arguments as this call has them."""

    arguments: tuple[str, ...]
    signature: Signature


def operator(name: str, types: Sequence[str]) -> Resolved | None:
    """The operator *name* for one or two operands of these types; None if there is none, or several.

    >>> operator("=", ["int4", "unknown"]).arguments, operator("+", ["int2", "numeric"]).result
    (('int4', 'int4'), 'numeric')
    """
    is_plain = not any(isinstance(one, EnumName) for one in types)
    return (_kept_operator if is_plain else _operator)(name, tuple(types))


def _operator(name: str, types: tuple[str, ...]) -> Resolved | None:
    candidates = [Candidate(one.arguments, one) for one in catalog.operators(name, len(types))]
    return _resolved(_exact_operator(candidates, types) or _best(candidates, types), types)


# Enums of one name may have other labels.
_kept_operator = lru_cache(maxsize=1024)(_operator)


def _exact_operator(candidates: list[Candidate], types: Sequence[str]) -> Candidate | None:
    """The one for just these types, a literal taken for what the other side is (binary_oper_exact)."""
    known = [one for one in types if one != UNKNOWN_TYPE]
    wanted = tuple(known[0] if one == UNKNOWN_TYPE and known else one for one in types)
    return next((one for one in candidates if one.arguments == wanted), None)


def function(name: str, types: Sequence[str]) -> Resolved | None:
    """The function *name* for arguments of these types; None if there is none, or several.

    >>> function("round", ["int4"]).arguments
    ('float8',)
    """
    candidates = list(_of_arity(catalog.functions(name), len(types)))
    exact = next((one for one in candidates if one.arguments == tuple(types)), None)
    return _resolved(exact or _best(candidates, types), types)


def _of_arity(signatures: Iterable[Signature], count: int) -> Iterable[Candidate]:
    """Those that can be called with so many arguments (FuncnameGetCandidates)."""
    fixed = set()
    for one in signatures:
        if not one.variadic and len(one.arguments) - one.defaults <= count <= len(one.arguments):
            fixed.add(one.arguments[:count])
            yield Candidate(one.arguments[:count], one)
    for one in signatures:
        if one.variadic and len(one.arguments) <= count:
            first = one.arguments[:-1]
            arguments = first + (one.variadic,) * (count - len(first))
            if arguments not in fixed:
                yield Candidate(arguments, one)


def can_coerce(source: str, target: str) -> bool:
    """Whether an argument is cast unasked; polymorphic targets are checked apart (can_coerce_type)."""
    if source == target or target == "any" or target in _POLYMORPHIC:
        return True
    return source == UNKNOWN_TYPE or catalog.pathway(source, target, "i") is not None


def _fits(candidate: Candidate, types: Sequence[str]) -> bool:
    pairs = zip(types, candidate.arguments, strict=True)
    return all(can_coerce(*pair) for pair in pairs) and (
        _POLYMORPHIC.isdisjoint(candidate.arguments) or _unified(candidate, types) is not None
    )


def _best(candidates: list[Candidate], types: Sequence[str]) -> Candidate | None:
    """func_match_argtypes and func_select_candidate."""
    candidates = [one for one in candidates if _fits(one, types)]
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    candidates = _most(candidates, lambda one: _exact_count(one, types))
    if len(candidates) > 1:
        candidates = _most(candidates, lambda one: _preferred_count(one, types))
    if len(candidates) > 1 and UNKNOWN_TYPE in types:
        return _best_for_unknown(candidates, types)
    return candidates[0] if len(candidates) == 1 else None


def _most(candidates: list[Candidate], count: Callable[[Candidate], int]) -> list[Candidate]:
    best = max(map(count, candidates))
    return [one for one in candidates if count(one) == best]


def _exact_count(candidate: Candidate, types: Sequence[str]) -> int:
    pairs = zip(candidate.arguments, types, strict=True)
    return sum(wanted == given != UNKNOWN_TYPE for wanted, given in pairs)


def _preferred_count(candidate: Candidate, types: Sequence[str]) -> int:
    pairs = zip(candidate.arguments, types, strict=True)
    return sum(
        given != UNKNOWN_TYPE
        and (
            wanted == given
            or (
                catalog.is_preferred(wanted) and catalog.category(wanted) == catalog.category(given)
            )
        )
        for wanted, given in pairs
    )


def _best_for_unknown(candidates: list[Candidate], types: Sequence[str]) -> Candidate | None:
    """Literals are strings where they can be, else what all candidates want of one category."""
    narrowed = _by_category(candidates, types)
    if len(narrowed) == 1:
        return narrowed[0]
    known = {one for one in types if one != UNKNOWN_TYPE}
    if len(known) != 1:
        return None
    assumed = tuple(known) * len(types)
    found = [one for one in narrowed if _fits(one, assumed)]
    return found[0] if len(found) == 1 else None


def _by_category(candidates: list[Candidate], types: Sequence[str]) -> list[Candidate]:
    wanted: dict[int, tuple[str, bool]] = {}
    for place in (place for place, one in enumerate(types) if one == UNKNOWN_TYPE):
        choice = _slot(one.arguments[place] for one in candidates)
        if choice is None:
            return candidates
        wanted[place] = choice
    found = [
        one
        for one in candidates
        if all(_is_in_slot(one.arguments[place], *slot) for place, slot in wanted.items())
    ]
    return found or candidates


def _slot(names: Iterable[str]) -> tuple[str, bool] | None:
    """The category that an untyped argument is taken to be of, and whether only its preferred type will do."""
    chosen, has_preferred, has_conflict = "", False, False
    for name in names:
        kind, preferred = catalog.category(name), catalog.is_preferred(name)
        if not chosen or (kind == "S" and chosen != "S"):
            has_conflict = has_conflict or bool(chosen)
            chosen, has_preferred = kind, preferred
        elif kind == chosen:
            has_preferred = has_preferred or preferred
        else:
            has_conflict = True
    return None if has_conflict and chosen != "S" else (chosen, has_preferred)


def _is_in_slot(name: str, kind: str, has_preferred: bool) -> bool:
    return catalog.category(name) == kind and (not has_preferred or catalog.is_preferred(name))


# --- polymorphic types ----------------------------------------------------------------------------


class _Unified(NamedTuple):
    """What the polymorphic types of a call stand for; empty if it has none of that kind."""

    element: str
    compatible: str


def _unified(candidate: Candidate, types: Sequence[str]) -> _Unified | None:
    """check_generic_type_consistency; None if the arguments do not go together."""
    elements: set[str] = set()
    compatibles: list[str] = []
    for wanted, given in zip(candidate.arguments, types, strict=True):
        if wanted not in _POLYMORPHIC or given == UNKNOWN_TYPE:
            continue
        if "range" in wanted or (wanted.endswith("array") and not _takes_array(wanted, given)):
            return None
        one = element_of(given) if wanted in ("anyarray", "anycompatiblearray") else given
        if wanted.startswith("anycompatible"):
            compatibles.append(one)
        else:
            elements.add(one)
    if len(elements) > 1:
        return None
    element = next(iter(elements), "")
    compatible = common_type(compatibles) if compatibles else ""
    if compatible is None or not all(can_coerce(one, compatible) for one in compatibles):
        return None
    for wanted in candidate.arguments:
        if (wanted == "anynonarray" and is_array(element)) or (
            wanted == "anycompatiblenonarray" and is_array(compatible)
        ):
            return None
        if wanted == "anyenum" and element and not is_enum(element):
            return None
    return _Unified(element, compatible)


def _takes_array(wanted: str, given: str) -> bool:
    """Whether an argument is an array where one is wanted."""
    return wanted.endswith("nonarray") or is_array(given)


def _resolved(candidate: Candidate | None, types: Sequence[str]) -> Resolved | None:
    if candidate is None:
        return None
    signature = candidate.signature
    if _POLYMORPHIC.isdisjoint((*candidate.arguments, signature.result)):
        return Resolved(signature, candidate.arguments, signature.result)
    unified = _unified(candidate, types)
    if unified is None:
        return None
    compatible = unified.compatible or "text"
    names = [_concrete(one, unified.element, compatible) for one in candidate.arguments]
    result = _concrete(signature.result, unified.element, compatible)
    if not result or not all(names):
        return None
    return Resolved(signature, tuple(names), result)


def _concrete(name: str, element: str, compatible: str) -> str:
    """What a polymorphic type stands for; empty if nothing tells."""
    match name:
        case "anyarray":
            return array_of(element) if element else ""
        case "anycompatiblearray":
            return array_of(compatible)
        case _ if name in _ELEMENTS:
            return element
        case _ if name in _COMPATIBLES:
            return compatible
    return name


def common_type(types: Sequence[str]) -> str | None:
    """select_common_type: what CASE, COALESCE, ARRAY and IN bring their members to; None if there is none.

    >>> common_type(["int4", "unknown", "numeric"]), common_type(["int4", "text"]), common_type(["unknown"])
    ('numeric', None, 'text')
    """
    chosen = UNKNOWN_TYPE
    for name in dict.fromkeys(types):
        if name == UNKNOWN_TYPE:
            continue
        if chosen == UNKNOWN_TYPE:
            chosen = name
        elif catalog.category(name) != catalog.category(chosen):
            return None
        elif (
            not catalog.is_preferred(chosen)
            and can_coerce(chosen, name)
            and not can_coerce(name, chosen)
        ):
            chosen = name
    return "text" if chosen == UNKNOWN_TYPE else chosen
