"""The ports: per repository its enumerations, its records, what it takes, what it promises.

What holds for all of them is said here once. Values are checked before anything is
written, and filters before anything is read: an `InvalidValueError` names the column. A
keyword that is no column is a `TypeError`. An id that is taken, given to a create, is an
`AlreadyExistsError`; one that points to no row is a `BrokenReferenceError`. "Oldest first"
means in the order of storing; "newest first" is the reverse, and `after=` goes by it too. What a
unit of work stores that began after another's commit had returned comes after what that one
stored, in whatever process, on whatever machine and wherever their clocks stand; a copy of the
store keeps the order. Every list is empty when nothing matches. Times are timezone-aware and in
UTC; they tell when a row was stored, and order nothing.
"""
