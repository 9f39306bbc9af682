"""Haystack component that fine-tunes an embedding model, for example at the end of a pipeline that makes triplets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from haystack_crossalign.data.formats.triplets import read_dataset
from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import normalize_language
from haystack_crossalign.triplets.builders import BuiltTriplets

_ALONE = "documents without a group or a text"
_UNASKED = "groups without a query"
_LACKING = "groups that lack a language"


@component
class CrossAlignTrainer:
    """Trains a model by a recipe and writes it as a stock sentence-transformers folder.

    The recipe is that of ``crossalign train``; its ``data`` section may be left out if triplets or documents are passed
    at run time. The folder is replaced if an earlier run wrote it, and rejected if it contains anything else.

    :param output: folder of the model.
    :param recipe: the recipe as a mapping, or the path of a YAML file.
    :param overrides: values over the recipe, such as ``"optimiser.learning_rate=1e-5"``.
    :param language_field: meta field that holds a document's language.
    :param group_field: meta field that versions of one content share.
    :param query_field: meta field of a document that holds a query it answers, in the document's language.
    :param resume: resume an interrupted run.
    """

    def __init__(
        self,
        *,
        output: str,
        recipe: dict[str, Any] | str,
        overrides: list[str] | None = None,
        language_field: str = "language",
        group_field: str = "parallel_id",
        query_field: str = "query",
        resume: bool = False,
    ) -> None:
        self.output = output
        self.recipe = recipe
        self.overrides = overrides
        self.language_field = language_field
        self.group_field = group_field
        self.query_field = query_field
        self.resume = resume

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        data: dict[str, Any] = default_to_dict(
            self,
            output=self.output,
            recipe=self.recipe,
            overrides=self.overrides,
            language_field=self.language_field,
            group_field=self.group_field,
            query_field=self.query_field,
            resume=self.resume,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CrossAlignTrainer:
        """Restore the component from the result of `to_dict`."""
        component: CrossAlignTrainer = default_from_dict(cls, data)
        return component

    @component.output_types(model=str, metrics=dict[str, float], harmless=bool | None, improved=bool | None)
    def run(
        self, triplets: list[dict[str, Any]] | None = None, documents: list[Document] | None = None
    ) -> dict[str, Any]:
        """Train.

        :param triplets: rows with the fields of a file of triplets: ``query``, ``passage``, ``targets``, ...
        :param documents: documents with language, group and query in their meta; those of one group in different
            languages are versions of one content, and the group needs a query in the recipe's language.
        :returns: ``model``: the folder; ``metrics``: the held-out figures after training, such as
            ``"multi en+zh, zh queries: Max@R"``; ``harmless`` and ``improved``: the verdict on
            held-out data, None if nothing was held out, and ``harmless`` also where a language has too little of it.
        :raises InputError: for an invalid recipe or input, or an output that must not be replaced.
        :raises ExternalError: if the model cannot be loaded or the output cannot be written.
        """
        from haystack_crossalign.training.packages import need_training_packages
        from haystack_crossalign.training.recipe.recipe import make_recipe, read_recipe

        need_training_packages()
        from haystack_crossalign.training.trainer import train

        overrides = self.overrides or ()
        recipe = (
            read_recipe(self.recipe, overrides)
            if isinstance(self.recipe, str)
            else make_recipe(self.recipe, overrides=overrides)
        )
        prepared = self._prepare_triplets(triplets, documents, recipe.language, recipe.languages)
        outcome = train(recipe, Path(self.output), resume=self.resume, triplets=prepared)
        return {
            "model": str(outcome.path),
            "metrics": outcome.metrics(),
            "harmless": outcome.harmless,
            "improved": outcome.improved,
        }

    def _prepare_triplets(
        self,
        triplets: Sequence[dict[str, Any]] | None,
        documents: Sequence[Document] | None,
        language: str,
        targets: Sequence[str],
    ) -> BuiltTriplets | None:
        if triplets is None and documents is None:
            return None
        prepared: list[Triplet] = []
        left_out: dict[str, int] = {}
        if triplets is not None:
            read, _ = read_dataset(
                triplets, name="CrossAlignTrainer.triplets", language=language, target_languages=targets
            )
            prepared += read
        if documents is not None:
            built = self._from_documents(documents, language, targets)
            prepared += built.triplets
            left_out |= built.left_out
        return BuiltTriplets(tuple(prepared), left_out)

    def _from_documents(self, documents: Sequence[Document], language: str, targets: Sequence[str]) -> BuiltTriplets:
        source = "CrossAlignTrainer.documents"
        groups: dict[str, dict[str, Document]] = {}
        left_out = dict.fromkeys((_ALONE, _UNASKED, _LACKING), 0)
        for document in documents:
            tag = normalize_language(
                str(document.meta.get(self.language_field) or ""),
                source=f"{source}, document {document.id}",
                field=self.language_field,
            )
            if document.meta.get(self.group_field) is None or not document.content:
                left_out[_ALONE] += 1
            else:
                group = str(document.meta[self.group_field])
                versions = groups.setdefault(group, {})
                if tag in versions and tag in (language, *targets):
                    raise InputError(
                        f"two documents of one group in {tag}: it is unknown which is the translation of which",
                        source=source,
                        field=self.group_field,
                        seen=f"{group} of the documents {versions[tag].id} and {document.id}",
                        allowed="one document for each group and language; chunks need groups of their own",
                    )
                versions[tag] = document
        built = []
        for group, versions in groups.items():
            query = str(versions[language].meta.get(self.query_field) or "").strip() if language in versions else ""
            wanted = {tag: versions[tag] for tag in targets if tag in versions}
            if language not in versions or not wanted:
                left_out[_LACKING] += 1
                continue
            if not query:
                left_out[_UNASKED] += 1
                continue
            queries = {tag: str(document.meta.get(self.query_field) or "").strip() for tag, document in wanted.items()}
            built.append(
                Triplet(
                    id=versions[language].id,
                    group=group,
                    language=language,
                    query=query,
                    passage=versions[language].content or "",
                    targets={tag: document.content or "" for tag, document in wanted.items()},
                    target_queries={tag: text for tag, text in queries.items() if text},
                )
            )
        if not built:
            raise InputError(
                "no group has a query, a passage in its language and one in a target language",
                source=source,
                field=self.group_field,
                seen=f"{len(documents)} documents in {len(groups)} groups",
                allowed=f"meta fields {self.group_field}, {self.language_field} and {self.query_field}",
            )
        return BuiltTriplets(tuple(built), left_out)
