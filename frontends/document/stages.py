"""Aggregation pipelines: each stage is a function from documents to documents, and a pipeline is their composition.

    compile_pipeline([{"$match": {...}}, {"$group": {...}}], Context(...))(documents)  ->  an iterator

Most stages hold one document at a time. $sort holds all (with a $limit behind it, so many), $group a state for each
group, $bucketAuto, $facet, $setWindowFields, $densify and $fill all, $sample its size. What reaches other collections
goes through the functions of the context. STAGES lists what is there, UNSUPPORTED what is not.
"""
from __future__ import annotations

from phantomdb.frontends.document import stages_documents, stages_gaps, stages_groups, stages_joins, stages_windows
from phantomdb.frontends.document.stage_base import (
    STAGES,
    UNSUPPORTED,
    Context,
    Pipeline,
    Stage,
    compile_pipeline,
    leading_filter,
)

__all__ = ["FAMILIES", "STAGES", "UNSUPPORTED", "Context", "Pipeline", "Stage", "compile_pipeline", "leading_filter"]

FAMILIES = (stages_documents, stages_groups, stages_joins, stages_windows, stages_gaps)
