"""Trackers stay offline, and only those at hand are talked about."""

import sys

import pytest

from gputune.probes.sandbox.trackers import SCRATCH, offline_environment, upload_warnings


def test_every_tracker_is_set_and_only_installed_ones_are_announced():
    user = {"HOME": "/h"}

    env, sentences = offline_environment(user, installed=lambda module: module == "wandb")

    assert env["WANDB_MODE"] == "offline"
    assert env["NEPTUNE_MODE"] == "offline"
    assert env["CLEARML_OFFLINE_MODE"] == "1"
    assert env["MLFLOW_TRACKING_URI"] == f"file:{SCRATCH}/mlruns"
    assert sentences == ["Weights & Biases stays offline during the probe (WANDB_MODE=offline)"]
    assert user == {"HOME": "/h"}


@pytest.mark.parametrize("value", ["disabled", "OFFLINE", "dryrun"])
def test_a_quieter_choice_of_the_user_is_kept_and_needs_no_sentence(value):
    env, sentences = offline_environment({"WANDB_MODE": value}, installed=lambda module: module == "wandb")

    assert env["WANDB_MODE"] == value
    assert sentences == []


def test_an_online_tracking_server_is_replaced():
    env, sentences = offline_environment(
        {"MLFLOW_TRACKING_URI": "https://t"}, installed=lambda module: module == "mlflow"
    )

    assert env["MLFLOW_TRACKING_URI"].startswith("file:")
    assert "MLflow stays offline" in sentences[0]


def test_the_scratch_directory_is_filled_in_when_the_command_starts(drive, make_project):
    env, _ = offline_environment({}, installed=lambda module: False)

    result = drive(["sh", "-c", "echo $MLFLOW_TRACKING_URI"], make_project(), env=env)

    assert result.output.strip() == f"file:{result.confinement['scratch']}/tmp/mlruns"


def test_no_tracker_is_imported_to_learn_whether_it_is_installed():
    offline_environment({})

    assert not {"wandb", "mlflow", "comet_ml", "neptune", "clearml"} & set(sys.modules)


def test_uploads_are_warned_of_by_line(tmp_path):
    (tmp_path / "train.py").write_text(
        "a = 1\n# push_to_hub=True\nargs = dict(push_to_hub=True)\nmodel.push_to_hub('x')\n"
    )

    warnings = upload_warnings(["train.py", "--push-to-hub"], tmp_path)

    assert [warning.split(" ")[0] for warning in warnings[:2]] == [
        f"{tmp_path}/train.py:3",
        f"{tmp_path}/train.py:4",
    ]
    assert "--push-to-hub" in warnings[2]
    assert upload_warnings(["missing.py", "--lr", "1"], tmp_path) == []
