"""Frontends: text or requests in, a plan of the core out; results in the shape the asker expects.

Three rooms will stand here, one issue each: `sql/` (PostgreSQL's dialect), `document/` (PyMongo's collection API) and
`graphql/` (a schema generated from the catalog). A frontend does no I/O of its own, imports `phantomdb.core` only, and
is found through the entry point group `phantomdb.frontends`, so that an installed package can add another.
"""
