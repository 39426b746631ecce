"""The document frontend: what MongoDB's filters, updates, projections, pipelines and validators mean.

Pure functions from documents to documents; collections stand on them. Importing this package imports PyMongo's `bson`,
whose classes documents hold. docs/documents.md says what is there.
"""
