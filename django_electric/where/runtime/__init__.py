"""The functions and operators of the where language on decoded values, exactly as Postgres 14 to 18 has them.

Every function takes and gives values as ``django_electric.postgres.values`` decodes them; NULL never comes
here (the functions are strict) unless a parameter says ``| None``. Each raises `Undecided` where the answer
is not proved to be Postgres's, and ValueError or ArithmeticError where Postgres raises an error.

What a value is in Python::

    bool                        bool
    int2 int4 int8 oid          int
    float4 float8               float, or NAN
    numeric                     Decimal whose exponent is minus the scale (never positive), or NAN
    text varchar name uuid      str
    bpchar                      str without the blanks at its end
    "char"                      str of one character, or empty
    bytea                       bytes
    date                        int, days since 1970-01-01; -inf and inf as float
    timestamp timestamptz       int, microseconds since 1970-01-01 (UTC); -inf and inf as float
    time                        int, microseconds since midnight, up to 24:00 inclusive
    timetz                      TimeTz, a pair of int that is in order
    interval                    Interval(months, days, microseconds)
    json                        str, as written
    jsonb                       Jsonb(value): dict, list, str, Decimal, bool; None is JSON's null
    an enum                     int, the label's position from 0
    T[]                         Array(items, lengths, lower_bounds): flat items, None for NULL

Values of one type have Postgres's ``=`` as ``==`` and its btree order as ``<`` (texts: that of ``COLLATE "C"``),
and they are hashable.

=============  ====================================================================================
``integers``   int2, int4, int8: arithmetic, bits, casts
``floats``     float4, float8: arithmetic, rounding, casts
``numerics``   numeric: arithmetic with Postgres's scales, rounding, casts
``texts``      text, varchar, bpchar: everything of chapter 9.4 that depends on no locale
``binary``     bytea
``moments``    date, time, timestamp, timestamptz: arithmetic, casts, constructors
``parts``      their parts: extract, date_part, date_trunc
``intervals``  interval: arithmetic, parts
``zones``      AT TIME ZONE
``arrays``     arrays of all types
``jsons``      jsonb
``raw_jsons``  json
``regexes``    ``~``, ``~*`` and SIMILAR TO: a pattern as a function from text to truth
``casts``      from text to any type
=============  ====================================================================================
"""
