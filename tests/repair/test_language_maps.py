"""A map for each language, each vector is transformed by the map of its own language."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from training_runs import made_recipe, made_triplets

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import AffineMap, unit
from haystack_crossalign.repair.directions import choose_language_maps, fit_language_directions
from haystack_crossalign.repair.language_maps import LanguageMaps, OwnShare, fit_language_maps
from haystack_crossalign.repair.matrix_file import read_matrix_file, write_matrix_file
from haystack_crossalign.repair.model_folder import repaired_model, with_map, write_repaired_model
from haystack_crossalign.repair.trials import RepairChoice, RepairScore, Trial
from haystack_crossalign.training.outcome import training_schema
from haystack_crossalign.training.recipe.recipe import make_recipe
from haystack_crossalign.training.trainer import train

DIM = 24
TAGS = ("en", "ar", "zh")
Sample = tuple[NDArray[np.float64], list[str], list[str]]


def sample(groups: int = 300, seed: int = 0, noise: float = 0.3) -> Sample:
    """Versions of one content: an offset per language, and noise that no translation shares, none in English."""
    draw = np.random.default_rng(seed)
    content = draw.normal(size=(groups, DIM))
    versions = []
    for place in range(len(TAGS)):
        offset = np.zeros(DIM)
        offset[place] = 8
        versions.append(content + offset + place * noise * draw.normal(size=(groups, DIM)) * (np.arange(DIM) > 12))
    tags = [tag for tag in TAGS for _ in range(groups)]
    return unit(np.concatenate(versions)), tags, [f"g{number}" for number in range(groups)] * len(TAGS)


def shared(data: Sample) -> AffineMap:
    return fit_language_directions(*data).affine(1.0, 0.5, whitening=3.0)


@pytest.fixture(scope="module")
def data() -> Sample:
    return sample()


@pytest.fixture(scope="module")
def maps(data: Sample) -> LanguageMaps:
    return fit_language_maps(shared(data), *data, pivot="en", own_share=0.2, ridge=3.0)


def test_every_vector_takes_the_map_of_its_language(maps: LanguageMaps) -> None:
    vectors, tags, _ = sample(100, seed=1)  # of the same languages, but not those that it was fitted on
    values = vectors @ maps.detectors.T - maps.offsets
    sure = (np.abs(values) >= 0.1).all(axis=1)
    assert sure.mean() > 0.95
    assert maps.languages == ("en", "ar", "zh")
    moved = maps.apply(vectors)
    for vector, tag, found, certain in zip(vectors, tags, moved, sure, strict=True):
        if certain:
            place = maps.languages.index(tag)
            wanted = unit((maps.matrices[place].astype(float) @ vector + maps.biases[place])[None])[0]
            np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_between_two_languages_it_is_continuous_and_follows_the_formula(maps: LanguageMaps, data: Sample) -> None:
    one, other = data[0][0], data[0][-1]
    line = unit(np.linspace(one, other, 4001))
    steps = np.linalg.norm(np.diff(maps.apply(line), axis=0), axis=1)
    assert steps.max() < 0.02
    moved = line @ maps.matrices[0].T.astype(float) + maps.biases[0]
    for place in range(2):
        matrix = (maps.matrices[place + 1] - maps.matrices[0]).astype(float)
        bias = (maps.biases[place + 1] - maps.biases[0]).astype(float)
        most = (np.linalg.norm(matrix, axis=1) + np.abs(bias)).max()
        value = line @ maps.detectors[place] - maps.offsets[place]
        gate = (most / 0.2 * np.maximum(0, 0.1 - value))[:, None]
        moved += np.maximum(line @ matrix.T + bias - gate, 0) - np.maximum(-(line @ matrix.T + bias) - gate, 0)
    np.testing.assert_allclose(maps.apply(line), unit(moved), atol=1e-5)


def test_the_map_of_a_language_is_the_least_of_its_sum_of_squares(data: Sample) -> None:
    vectors, tags, _ = data
    first = shared(data)
    found = fit_language_maps(first, *data, pivot="en", own_share=0.2, ridge=0.7)
    np.testing.assert_array_equal(found.matrices[0], first.matrix)
    np.testing.assert_array_equal(found.biases[0], first.bias)
    means = np.stack([vectors[[one == tag for one in tags]].mean(axis=0) for tag in TAGS])
    bias = first.bias - 0.2 * first.matrix.astype(float) @ means.mean(axis=0)
    wanted = unit(vectors[:300] @ first.matrix.T.astype(float) + first.bias)
    before = unit(vectors[600:] @ first.matrix.T.astype(float) + bias)
    penalty = 0.7 * np.trace(before.T @ before) / DIM
    change = np.linalg.solve(first.matrix.T.astype(float), found.matrices[2].T.astype(float)).T - np.eye(DIM)

    def cost(change: NDArray[np.float64]) -> float:
        return float(((wanted - before @ (np.eye(DIM) + change).T) ** 2).sum() + penalty * (change**2).sum())

    draw = np.random.default_rng(0)
    for _ in range(20):
        step = draw.normal(size=change.shape) * 1e-2
        assert cost(change) < cost(change + step)
    np.testing.assert_allclose(found.biases[2], (np.eye(DIM) + change) @ bias, atol=1e-4)


def test_noise_of_one_language_counts_less_afterwards() -> None:
    data = sample(noise=1.0)
    maps = fit_language_maps(shared(data), *data, pivot="en", own_share=0.2, ridge=3.0)
    vectors, _, _ = sample(200, seed=2, noise=1.0)
    english, chinese = vectors[:200], vectors[400:]

    def first(repair: AffineMap | LanguageMaps) -> float:
        moved, pool = repair.apply(chinese), repair.apply(english)
        return float(((moved @ pool.T).argmax(axis=1) == np.arange(200)).mean())

    assert first(maps) > first(shared(data)) + 0.02, (first(maps), first(shared(data)))
    np.testing.assert_array_equal(maps.apply(english)[:5], shared(data).apply(english)[:5])  # the pivot stays


def test_without_a_further_share_and_with_a_great_ridge_it_is_the_one_map(data: Sample) -> None:
    same = fit_language_maps(shared(data), *data, pivot="en", own_share=0.0, ridge=1e12)
    np.testing.assert_allclose(same.apply(data[0]), shared(data).apply(data[0]), atol=1e-6)


def test_each_language_may_have_a_share_of_its_own(data: Sample) -> None:
    shares: dict[str, float | None] = {"zh": 0.4, "ar": 0.0}
    made = fit_language_maps(shared(data), *data, pivot="en", own_share=shares)
    alone = {share: fit_language_maps(shared(data), *data, pivot="en", own_share=share) for share in (0.0, 0.2, 0.4)}
    for place, tag in enumerate(made.languages):
        of_one = alone[shares.get(tag, 0.2)]  # that of the pivot depends on no share
        np.testing.assert_array_equal(made.matrices[place], of_one.matrices[place])
        np.testing.assert_array_equal(made.biases[place], of_one.biases[place])
    assert made.metadata["own_share"] == "ar 0, zh 0.4"
    assert alone[0.2].metadata["own_share"] == "0.2"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"pivot": "fr"}, "pivot"),
        ({"own_share": 1.5}, "own_share"),
        ({"own_share": {"zh": 0.1}}, "'own_share': a share is needed for each.*allowed: ar, zh"),
        ({"own_share": {"zh": 0.1, "ar": 0.1, "en": 0.1}}, "'own_share': a share is needed"),
        ({"own_share": {"zh": 0.1, "ar": -0.1}}, "'own_share': out of range; seen: '-0.1 of ar'"),
        ({"own_margins": {"en": -0.1}}, "own_margins"),
        ({"own_margins": {"fr": 0.1}}, "'own_margins': a margin of a language that is not fitted.*allowed: en, ar, zh"),
        ({"ridge": 0.0}, "ridge"),
        ({"ridge": float("inf")}, "ridge"),
    ],
)
def test_values_that_cannot_be_are_named(data: Sample, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        fit_language_maps(shared(data), *data, **({"pivot": "en"} | changes))  # type: ignore[arg-type]


def test_each_language_needs_parallel_documents_and_a_mean_of_its_own(data: Sample) -> None:
    vectors, tags, groups = data
    apart = [f"{tag}{group}" if tag == "zh" else group for tag, group in zip(tags, groups, strict=True)]
    with pytest.raises(InputError, match="parallel"):
        fit_language_maps(shared(data), vectors, tags, apart, pivot="en")
    with pytest.raises(InputError, match="languages"):
        fit_language_maps(shared(data), vectors[:-1], tags, groups, pivot="en")
    twice = np.concatenate([vectors[:300], vectors[:300]])
    with pytest.raises(InputError, match="lies between those of others"):
        fit_language_maps(shared(data), twice, ["en"] * 300 + ["zh"] * 300, groups[:600], pivot="en")


def test_the_matrix_file_carries_the_maps(maps: LanguageMaps, data: Sample, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_matrix_file(maps, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = read_matrix_file(tmp_path / "one")
    assert isinstance(again, LanguageMaps)
    assert again.languages == maps.languages
    assert again.metadata == maps.metadata
    assert again.metadata["pivot"] == "en"
    np.testing.assert_array_equal(again.apply(data[0]), maps.apply(data[0]))
    np.testing.assert_array_equal(again.apply(3 * data[0][:7], block=2), maps.apply(data[0])[:7])


def test_arrays_that_do_not_fit_are_refused(maps: LanguageMaps) -> None:
    with pytest.raises(InputError, match="detectors"):
        LanguageMaps(maps.languages, maps.matrices, maps.biases, maps.detectors[:1], maps.offsets)
    with pytest.raises(InputError, match="biases"):
        LanguageMaps(maps.languages, maps.matrices, maps.biases * np.float32("nan"), maps.detectors, maps.offsets)
    with pytest.raises(InputError, match=r"\[n, 24\]"):
        maps.apply(np.ones((2, 3)))


def of_model(model: SentenceTransformer) -> LanguageMaps:
    """Maps for two languages, of random texts of the tiny model."""
    texts = [one.passage for one in made_triplets(60)], [one.targets["zh"] for one in made_triplets(60)]
    vectors = np.concatenate([model.encode(part) for part in texts])
    data = (vectors, ["en"] * 60 + ["zh"] * 60, [str(row) for row in range(60)] * 2)
    return fit_language_maps(fit_language_directions(*data).affine(), *data, pivot="en", own_share=0.3)


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 1 - 1e-6), (torch.bfloat16, 0.995)])
def test_the_folder_gives_the_vectors_that_the_maps_give(tiny_model, tmp_path: Path, dtype, least: float) -> None:
    maps = of_model(tiny_model)
    write_repaired_model(tiny_model, maps, tmp_path / "repaired")
    again = SentenceTransformer(str(tmp_path / "repaired"), device="cpu", model_kwargs={"dtype": dtype})
    head = SentenceTransformer(modules=list(again.children())[3:], device="cpu")
    for triplet in made_triplets(20):
        for text in (triplet.passage, triplet.targets["zh"]):
            vector = tiny_model.encode(text)[None]
            moved = head({"sentence_embedding": torch.tensor(vector, dtype=dtype)})["sentence_embedding"]
            assert (moved.float().detach().numpy() @ maps.apply(vector).T).item() > least
            if dtype == torch.float32:
                np.testing.assert_allclose(again.encode(text), maps.apply(vector)[0], atol=2e-6)


@pytest.mark.process
def test_the_folder_loads_without_this_package(tiny_model, tmp_path: Path, quick_python: list[str]) -> None:
    write_repaired_model(tiny_model, of_model(tiny_model), tmp_path / "repaired")
    code = (
        "import sys, sentence_transformers as s; s.SentenceTransformer(sys.argv[1], device='cpu').encode('w1');"
        "sys.exit('haystack_crossalign' in sys.modules)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [*quick_python, "-c", code, str(tmp_path / "repaired")]
    assert subprocess.run(command, env=environment, check=False, cwd=tmp_path).returncode == 0


def test_another_map_takes_the_place_of_the_one(tiny_model, make_texts) -> None:
    maps = of_model(tiny_model)
    dim = maps.dimension
    plain = repaired_model(tiny_model, AffineMap(np.eye(dim, dtype=np.float32), np.zeros(dim, np.float32)))
    texts = make_texts(1, 4)[0]
    np.testing.assert_allclose(with_map(plain, maps).encode(texts), maps.apply(tiny_model.encode(texts)), atol=2e-6)


def chosen(bias: dict[float, float], quality: dict[float, float]) -> RepairChoice:
    """The choice where the score depends on the ridge alone; 0 stands for one map for all."""
    data = sample(60)
    first = RepairScore(bias[0], {"en": quality[0]})
    one = Trial(1.0, 0.5, first, harmless=True)
    before = RepairChoice(shared(data), one, (Trial(0.0, 0.0, RepairScore(99.0, {"en": 0.9}), harmless=True), one))

    def score(maps: AffineMap | LanguageMaps) -> RepairScore:
        ridge = float(maps.metadata["ridge"])
        return RepairScore(bias[ridge], {"en": quality[ridge]})

    return choose_language_maps(before, data, score, pivot="en", own_shares=(0.0, 0.5), ridges=(10.0, 3.0))


def test_maps_for_each_language_are_taken_only_where_better_and_harmless() -> None:
    better = chosen({0: 5.0, 10: 4.0, 3: 3.0}, {0: 0.9, 10: 0.9, 3: 0.9})
    assert (better.chosen.ridge, better.chosen.own_share) == (3.0, 0.0)
    assert isinstance(better.repair, LanguageMaps)
    assert len(better.trials) == 10  # two languages, each with one other share and the shared map
    harmful = chosen({0: 5.0, 10: 4.0, 3: 3.0}, {0: 0.9, 10: 0.9, 3: 0.8})
    assert harmful.chosen.ridge == 10.0
    worse = chosen({0: 5.0, 10: 5.0, 3: 6.0}, {0: 0.9, 10: 0.9, 3: 0.9})
    assert worse.chosen.ridge is None
    assert isinstance(worse.repair, AffineMap)
    # The part is of what the one map leaves of the common mean.
    assert {one.own_share for one in better.trials if not isinstance(one.own_share, Mapping)} == {None, 0.0, 0.25}


def choice_by_share(bias: Callable[[float | None, float | None], float], harmful: Sequence[str] = ()) -> RepairChoice:
    """The choice where the score depends on the own shares of Arabic and Chinese; 50 stands for one map for all."""
    data = sample(60)
    base, one = (Trial(0.0, 0.0, RepairScore(depth, {"en": 0.9}), harmless=True) for depth in (99.0, 50.0))
    before = RepairChoice(shared(data), replace(one, strength=1.0), (base, one))

    def score(maps: AffineMap | LanguageMaps) -> RepairScore:
        own = maps.metadata["own_share"]
        parts = [part.split()[-1] for part in (own if " " in own else f"{own}, {own}").split(", ")]
        ar, zh = (None if part == "none" else float(part) for part in parts)
        return RepairScore(bias(ar, zh), {"en": 0.8 if own in harmful else 0.9})

    return choose_language_maps(before, data, score, pivot="en", own_shares=(0.0, 0.25, 0.5), ridges=(3.0,))


def test_a_language_gets_a_share_of_its_own_where_that_is_better_and_harmless() -> None:
    def bias(ar: float | None, zh: float | None) -> float:
        return 40.0 if ar is None or zh is None else 10 + abs(ar - 0.5) + 2 * zh

    found = choice_by_share(bias)
    assert found.chosen.own_share == {"ar": 0.5, "zh": 0.0}
    assert found.chosen.score.bias == 10
    assert found.repair.metadata["own_share"] == "ar 0.5, zh 0"
    none = {"ar": None, "zh": 0.0}, {"ar": 0.5, "zh": None}
    tried = [trial.own_share for trial in found.trials[2:]]
    assert tried[:3] == [0.0, 0.25, 0.5]
    assert tried[3:6] == [none[0], {"ar": 0.25, "zh": 0.0}, {"ar": 0.5, "zh": 0.0}]
    assert tried[6:] == [none[1], {"ar": 0.5, "zh": 0.25}, {"ar": 0.5, "zh": 0.5}]
    data = sample(60)
    wanted = fit_language_maps(shared(data), *data, pivot="en", own_share={"ar": 0.5, "zh": 0.0})
    assert isinstance(found.repair, LanguageMaps)
    np.testing.assert_array_equal(found.repair.matrices, wanted.matrices)
    assert choice_by_share(bias, ["ar 0.5, zh 0"]).chosen.own_share == {"ar": 0.25, "zh": 0.0}


def test_one_language_keeps_the_shared_map_where_every_other_harms_it() -> None:
    # Arabic pays for any map of its own, so that no share suits both languages.
    alike = ("0", "0.25", "0.5")
    harmful = [*alike, *(f"ar {ar}, zh {zh}" for ar in alike for zh in (*alike, "none"))]
    found = choice_by_share(lambda _, zh: 50.0 if zh is None else 20 - zh, harmful)
    assert found.chosen.own_share == {"ar": None, "zh": 0.5}
    assert isinstance(found.repair, LanguageMaps)
    np.testing.assert_array_equal(found.repair.matrices[1], found.repair.matrices[0])
    np.testing.assert_array_equal(found.repair.biases[1], found.repair.biases[0])
    assert np.abs(found.repair.matrices[2] - found.repair.matrices[0]).max() > 1e-3


def test_the_maps_take_off_a_share_of_the_mean_that_the_repair_takes_off(data: Sample) -> None:
    # Arabic lacks the documents that lie to one side, so that plain means would hold their topic.
    vectors, tags, groups = data
    kept = [row for row, tag in enumerate(tags) if tag != "ar" or vectors[int(groups[row][1:])][20] > 0]
    part = (vectors[kept], [tags[row] for row in kept], [groups[row] for row in kept])
    fitted = fit_language_directions(*part)
    start = fitted.affine(1.0, 0.5)
    maps = fit_language_maps(start, *part, pivot="en", own_share=0.2, ridge=1e9)  # so stiff that nothing else changes
    plain = np.stack([part[0][[one == tag for one in part[1]]].mean(axis=0) for tag in fitted.languages]).mean(axis=0)
    wanted, other = (start.bias - 0.2 * start.matrix @ common for common in (fitted.common, plain))
    for bias in maps.biases[1:]:
        np.testing.assert_allclose(bias, wanted, atol=1e-6)
    assert np.abs(wanted - other).max() > 1e-3


@pytest.mark.training
@pytest.mark.parametrize(("frozen", "share"), [(True, 0.1), (False, {"zh": 0.1})])
def test_training_ends_with_a_map_for_each_language(
    tiny_model_folder: Path, tmp_path: Path, frozen: bool, share: OwnShare
) -> None:
    recipe = made_recipe(
        tiny_model_folder,
        start={"kind": "repair", "strength": 1.0, "common_share": 0.2, "own_share": share}
        | ({} if frozen else {"train_dense": False, "refit": True}),
        freeze_encoder=frozen,
        dropout=0.0,
        optimiser={"epochs": 2, "learning_rate": 3e-3},
    )
    outcome = train(recipe, tmp_path / "model", triplets=made_triplets(60))
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    names = [type(one).__name__ for one in model.children()]
    assert names[-5:] == ["Normalize", "Dense", "Dense", "Dense", "Normalize"]
    assert outcome.data["kept"]["refitted"]["ridge"] == "3"
    assert outcome.data["kept"]["refitted"]["own_share"] == ("0.1" if frozen else "zh 0.1")
    assert outcome.data["recipe"]["start"]["own_share"] == share
    Draft202012Validator(training_schema()).validate(outcome.data)
    assert outcome.data["result"]["rows"]
    assert "a map of its own for each language" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    texts = [made_triplets(60)[3].passage, made_triplets(60)[3].targets["zh"]]
    if frozen:
        maps = read_matrix_file(tmp_path / "model" / "matrix.safetensors")
        base = SentenceTransformer(str(tiny_model_folder), device="cpu")
        np.testing.assert_allclose(model.encode(texts), maps.apply(base.encode(texts)), atol=1e-5)
    else:
        assert not (tmp_path / "model" / "matrix.safetensors").exists()


def test_maps_need_an_encoder_that_stays_or_is_fitted_again() -> None:
    start = {"kind": "repair", "own_share": 0.1}
    with pytest.raises(InputError, match=r"start\.own_share"):
        make_recipe({"model": "m", "languages": ["zh"], "start": start})
    make_recipe({"model": "m", "languages": ["zh"], "start": start, "freeze_encoder": True})


def test_a_recipe_gives_each_language_a_share_by_its_tag() -> None:
    values = {"model": "m", "languages": ["zh", "no"], "start": {"kind": "repair"}, "freeze_encoder": True}

    def share(given: str) -> object:
        recipe = make_recipe(values, overrides=[f"start.own_share={given}"])
        assert make_recipe(recipe.to_dict()) == recipe
        return recipe.start.own_share

    assert share("0.2") == 0.2
    assert share("{zho: 0.2, no: null}") == {"zh": 0.2, "no": None}  # YAML 1.1 takes the second tag for false
    plain = {**values, "start": {"kind": "repair", "own_share": {"zh": 0.2, False: 0.1}}}
    assert make_recipe(plain).start.own_share == {"zh": 0.2, "no": 0.1}
    for wrong in ("{zh: 0.2}", "{zh: 0.2, no: 0, en: 0}"):
        with pytest.raises(InputError, match=r"--set, field 'start.own_share'.*one for each of zh, no"):
            share(wrong)
    for wrong in ("{zh: 2, no: 0}", "{zh: 0.2, no: 0, zho: 0.1}", "{}", "[0.1, 0.2]", "{zh: 0.2, none at all: 0}"):
        with pytest.raises(InputError, match=r"--set, field 'start.own_share': not allowed.*language tags, each with"):
            share(wrong)


@pytest.mark.training
def test_the_passages_that_are_fitted_on_have_a_length_of_their_own(tiny_model_folder: Path, tmp_path: Path) -> None:
    def matrix(name: str, **changes: Any) -> NDArray[np.float32]:
        start = {"kind": "repair", "strength": 1.0, "common_share": 0.2, "max_tokens": changes.pop("fit", None)}
        optimiser = {"max_steps": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
        recipe = made_recipe(tiny_model_folder, start=start, freeze_encoder=True, optimiser=optimiser, **changes)
        train(recipe, tmp_path / name, triplets=made_triplets(40))
        found = read_matrix_file(tmp_path / name / "matrix.safetensors")
        assert isinstance(found, AffineMap)
        return found.matrix

    whole, cut = matrix("whole"), matrix("cut", fit=8)
    assert np.abs(whole - cut).max() > 1e-3
    model = {"name": str(tiny_model_folder), "max_tokens": 8}
    np.testing.assert_allclose(matrix("short", model=model), cut, atol=1e-5)
    np.testing.assert_allclose(matrix("long", model=model, fit=512), whole, atol=1e-5)


def test_maps_that_make_all_vectors_of_a_language_the_same_are_refused(maps: LanguageMaps) -> None:
    matrices = maps.matrices.copy()
    matrices[1] = 0
    with pytest.raises(InputError, match="the matrix is zero") as refused:
        LanguageMaps(maps.languages, matrices, maps.biases, maps.detectors, maps.offsets)
    assert refused.value.seen == maps.languages[1]
