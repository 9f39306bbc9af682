"""A Haystack component that runs a query pipeline for each query of a list, for audits of its results."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from haystack import Document, Pipeline, component, default_from_dict, default_to_dict

from haystack_crossalign.errors import InputError
from haystack_crossalign.pipelines.shape import PipelineShape, cut_to_documents


@component
class QueryListRunner:
    """Runs a pipeline once for each query, and returns the lists in the form expected by `LanguageBiasAuditor`.

    Components after the pipeline's documents, such as a generator, are not run.

    :param pipeline: any pipeline that turns a query into documents.
    :param depth: number of documents requested from its retrievers; None for their defaults.
    """

    def __init__(self, *, pipeline: Pipeline, depth: int | None = None) -> None:
        self.pipeline = pipeline
        self.depth = depth
        self._prepared: tuple[Pipeline, PipelineShape] | None = None

    def warm_up(self) -> None:
        """Load what the pipeline needs; further calls do nothing.

        :raises InputError: the pipeline does not turn a query into one list of documents.
        """
        if self._prepared is None:
            copy = Pipeline.from_dict(self.pipeline.to_dict())
            shape = cut_to_documents(copy, Path("QueryListRunner"))
            if shape.vectors:
                raise InputError(
                    "needs a vector for each query",
                    source="QueryListRunner",
                    field="pipeline",
                    seen=[".".join(place) for place in shape.vectors],
                    allowed="a pipeline that embeds the query itself",
                )
            copy.warm_up()
            self._prepared = copy, shape

    @component.output_types(documents=list[list[Document]])
    def run(self, queries: list[str]) -> dict[str, list[list[Document]]]:
        """Run all queries.

        :param queries: their texts.
        :returns: ``{"documents": [...]}``, for each query its documents, best first.
        """
        self.warm_up()
        return {"documents": [self._ask(query) for query in queries]}

    @component.output_types(documents=list[list[Document]])
    async def run_async(self, queries: list[str]) -> dict[str, list[list[Document]]]:
        """`run` in a thread, so that the event loop is not blocked."""
        return await asyncio.to_thread(self.run, queries)

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        data: dict[str, Any] = default_to_dict(self, pipeline=self.pipeline.to_dict(), depth=self.depth)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QueryListRunner:
        """Restore the component from the result of `to_dict`.

        :raises InputError: if ``pipeline`` is not a pipeline.
        """
        parameters = dict(data.get("init_parameters", {}))
        if not isinstance(parameters.get("pipeline"), dict) or "components" not in parameters["pipeline"]:
            raise InputError(
                "holds no pipeline",
                source="QueryListRunner",
                field="pipeline",
                allowed="the components and connections of a pipeline",
            )
        parameters["pipeline"] = Pipeline.from_dict(parameters["pipeline"])
        component: QueryListRunner = default_from_dict(cls, data | {"init_parameters": parameters})
        return component

    def _ask(self, query: str) -> list[Document]:
        if self._prepared is None:  # unreachable: `run` prepares first
            raise InputError("is not warmed up", source="QueryListRunner")
        pipeline, shape = self._prepared
        inputs: dict[str, dict[str, Any]] = {}
        for name, socket in shape.texts:
            inputs.setdefault(name, {})[socket] = query
        for name, socket in shape.text_lists:
            inputs.setdefault(name, {})[socket] = [query]
        if self.depth is not None:
            for name, socket in shape.depths:
                inputs.setdefault(name, {})[socket] = self.depth
        name, socket = shape.output
        answer = pipeline.run(inputs, include_outputs_from={name})
        return list(answer.get(name, {}).get(socket) or [])
