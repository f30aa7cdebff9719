from __future__ import annotations

import pytest

from vfnet_evaluate.errors import EvaluationError
from vfnet_evaluate.label_names import reconcile


def test_equal_names_need_no_word() -> None:
    labels = reconcile(["b", "a"], ["a", "b"])
    assert labels.index_of == {"a": 0, "b": 1}
    assert labels.notes == ()


def test_spelling_differs_with_a_note() -> None:
    labels = reconcile(["Milk Bottle", "can"], ["can", "milk_bottle"])
    assert labels.index_of == {"can": 0, "Milk Bottle": 1}
    assert labels.notes == ("the model's 'Milk Bottle' is taken for the data's 'milk_bottle'",)


def test_accents_are_the_same_in_either_form_of_unicode() -> None:
    labels = reconcile(["Caf\u00e9"], ["cafe\u0301"])
    assert labels.index_of == {"Caf\u00e9": 0}


def test_an_exact_name_goes_before_a_similar_one() -> None:
    labels = reconcile(["can", "Can"], ["can"])
    assert labels.index_of == {"can": 0}
    assert "left out: Can" in labels.notes[0]


def test_either_side_may_have_more() -> None:
    labels = reconcile(["a", "b"], ["b", "c"])
    assert labels.index_of == {"b": 0}
    assert "does not know these labels of the data; their objects count as missed: c" in labels.notes[0]
    assert "their detections are left out: a" in labels.notes[1]


def test_of_a_server_one_knows_only_what_it_detected() -> None:
    assert "detected none of these labels of the data" in reconcile(["b"], ["b", "c"], all_known=False).notes[0]


def test_nothing_in_common_is_refused_with_both_sides() -> None:
    with pytest.raises(EvaluationError, match=r"Model: dog, cat\. Data: can, carton\."):
        reconcile(["dog", "cat"], ["can", "carton"])


@pytest.mark.parametrize(("model", "data"), [(["A b"], ["a_b", "ab"]), (["A b", "a_b"], ["ab"])])
def test_names_that_could_be_either_are_refused(model: list[str], data: list[str]) -> None:
    with pytest.raises(EvaluationError, match="differ in spelling only"):
        reconcile(model, data)


def test_a_label_without_a_box_is_not_missed() -> None:
    (note,) = reconcile(["can"], ["groceries", "can"], annotated={"can"}).notes
    assert note == "these labels of the data have no box, so none is missed: groceries"
    assert "count as missed: lid" in reconcile(["can"], ["lid", "can"], annotated={"can", "lid"}).notes[0]


def test_a_model_is_not_said_to_have_only_the_labels_that_it_detected() -> None:
    with pytest.raises(EvaluationError, match=r"^what the model detected and the data have no .*\. Detected: carton\."):
        reconcile(["carton"], ["can"], all_known=False)
    with pytest.raises(EvaluationError, match=r"^the model and the data have no label in common\. Model: carton\."):
        reconcile(["carton"], ["can"])
