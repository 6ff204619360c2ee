"""The ports: per repository its enumerations, its records, what it takes, what it promises.

What holds for all of them is said here once. Values are checked before anything is
written, and filters before anything is read: an `InvalidValueError` names the column. A
keyword that is no column is a `TypeError`. An id that is taken, given to a create, is an
`AlreadyExistsError`; one that points to no row is a `BrokenReferenceError`. "Oldest first"
means ordered by `created_at`, then `id`; "newest first" is the reverse. Every list is empty
when nothing matches. Times are timezone-aware and in UTC.
"""
