from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from haystack import Document, Pipeline
from sentence_transformers import SentenceTransformer
from tiny_models import tiny_model_folder
from training_runs import made_recipe, made_triplets

from haystack_crossalign.components import CrossAlignTrainer
from haystack_crossalign.errors import InputError

pytestmark = pytest.mark.training

__all__ = ["tiny_model_folder"]

ROWS = [
    {"id": one.id, "group": one.group, "query": one.query, "passage": one.passage, "targets": dict(one.targets)}
    for one in made_triplets(40)
]


def recipe(folder: Path) -> dict[str, object]:
    return made_recipe(folder, optimiser={"max_steps": 2}).to_dict()


def test_it_is_described_by_its_parameters() -> None:
    trainer = CrossAlignTrainer(output="out", recipe={"model": "m"}, overrides=["seed=1"], resume=True)
    data = {
        "type": "haystack_crossalign.components.trainer.CrossAlignTrainer",
        "init_parameters": {
            "output": "out",
            "recipe": {"model": "m"},
            "overrides": ["seed=1"],
            "language_field": "language",
            "group_field": "parallel_id",
            "query_field": "query",
            "resume": True,
        },
    }
    assert trainer.to_dict() == data
    assert CrossAlignTrainer.from_dict(data).to_dict() == data


def test_it_trains_on_triplets_and_answers_with_folder_and_figures(tiny_model_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    found = CrossAlignTrainer(output=str(output), recipe=recipe(tiny_model_folder)).run(triplets=ROWS)
    assert found.keys() == {"model", "metrics", "harmless", "improved"}
    assert found["model"] == str(output)
    assert 1 < found["metrics"]["multi en+zh, en queries: Max@R"] <= 8
    assert isinstance(found["harmless"], bool)
    assert SentenceTransformer(found["model"], device="cpu").encode(["w1"]).shape == (1, 16)


def test_it_trains_on_documents_with_a_group_field(tiny_model_folder: Path, tmp_path: Path) -> None:
    documents = []
    for row in ROWS:
        meta = {"language": "en", "parallel_id": row["group"], "query": row["query"]}
        documents.append(Document(content=row["passage"], meta=meta))
        documents.append(
            Document(content=row["targets"]["zh"], meta={"language": "zh", "parallel_id": row["group"]})  # type: ignore[index]
        )
    trainer = CrossAlignTrainer(output=str(tmp_path / "model"), recipe=recipe(tiny_model_folder))
    before = [document.to_dict() for document in documents]
    assert Path(trainer.run(documents=documents)["model"]).is_dir()
    assert [document.to_dict() for document in documents] == before
    known = json.loads((tmp_path / "model" / "training.json").read_text(encoding="utf-8"))["data"]["files"]
    assert [one["left_out"] for one in known] == [{}]
    more = [
        Document(content="alone", meta={"language": "en"}),
        Document(content="text", meta={"language": "zh", "parallel_id": "one language"}),
        Document(content="text", meta={"language": "en", "parallel_id": "not asked"}),
        Document(content="文", meta={"language": "zh", "parallel_id": "not asked"}),
    ]
    trainer.run(documents=[*documents, *more])
    known = json.loads((tmp_path / "model" / "training.json").read_text(encoding="utf-8"))["data"]["files"]
    assert [one["left_out"] for one in known] == [
        {"documents without a group or a text": 1, "groups that lack a language": 1, "groups without a query": 1}
    ]
    unnamed = Document(content="text", meta={"parallel_id": "x"})
    with pytest.raises(InputError, match=f"document {unnamed.id}, field 'language'"):
        trainer.run(documents=[unnamed])
    with pytest.raises(InputError, match="no group has a query"):
        trainer.run(documents=documents[1::2])
    chunk = Document(content="another chunk", meta=documents[1].meta)
    with pytest.raises(InputError, match="two documents of one group in zh"):
        trainer.run(documents=[*documents, chunk])


def test_a_recipe_file_and_overrides_are_taken(tiny_model_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(tiny_model_folder)), encoding="utf-8")
    output = tmp_path / "model"
    trainer = CrossAlignTrainer(output=str(output), recipe=str(path), overrides=["held_out.share=0"])
    assert trainer.run(triplets=ROWS) == {"model": str(output), "metrics": {}, "harmless": None, "improved": None}


def test_the_pipeline_of_the_repository_loads_and_runs(
    project_root: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    text = (project_root / "pipelines" / "train.yaml").read_text(encoding="utf-8")
    assert Pipeline.loads(text).get_component("trainer").recipe["languages"] == ["zh"]
    # The same file with a small model.
    data = yaml.safe_load(text)
    parameters = data["components"]["trainer"]["init_parameters"]
    parameters["output"] = str(tmp_path / "model")
    parameters["recipe"] |= {"model": str(tiny_model_folder), "device": "cpu"}
    found = Pipeline.loads(yaml.safe_dump(data)).run({"trainer": {"triplets": ROWS}})
    assert Path(found["trainer"]["model"]).is_dir()
    assert "multi en+zh, en queries: Max@R" in found["trainer"]["metrics"]
