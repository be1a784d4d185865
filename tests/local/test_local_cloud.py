"""The cloud as a whole: what it deploys, what it refuses; and what travels in a zip file."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local import archive
from local.cloud import Cloud
from local.installer import _split

MACHINE = sys.implementation.cache_tag


class TestLife:
    """One at a time; the next one starts clean."""

    @pytest.mark.usefixtures("cloud")
    def test_a_second_cloud_in_one_process_is_refused(self) -> None:
        with pytest.raises(RuntimeError, match="already hosts an embedded cloud"), Cloud():
            pass

    def test_it_survives_that(self, cloud: Cloud) -> None:
        assert cloud.client("s3").list_buckets()["Buckets"]

    def test_a_secret_can_be_read(self, cloud: Cloud) -> None:
        arn = cloud.put_secret("key", "value")
        assert (
            cloud.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"] == "value"
        )

    def test_an_update_keeps_what_it_does_not_change(self, cloud: Cloud, project: Path) -> None:
        before = dict(cloud.outputs)
        after = cloud.deploy(
            project / "template.yaml", "small", {"Greeting": "bye", "RetentionDays": "1"}
        )
        assert after == before
        name = after["WorkFunctionName"]
        variables = cloud.client("lambda").get_function_configuration(FunctionName=name)[
            "Environment"
        ]["Variables"]
        assert variables["GREETING"] == "bye"
        rules = cloud.client("s3").get_bucket_lifecycle_configuration(Bucket=after["UploadsName"])[
            "Rules"
        ]
        assert rules[0]["Expiration"] == {"Days": 1}


class TestRefusals:
    """What cannot be deployed is named."""

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ("AWS::CloudWatch::Alarm", "AWS::Odd::Thing", "no AWS::Odd::Thing"),
            ("CodeUri: functions/work", "CodeUrl: functions/work", "WorkFunction"),
            ("Endpoint: !GetAtt Told.Arn", "Nothing: 1", "ToldSubscription: KeyError: 'Endpoint'"),
        ],
    )
    def test_by_what_is_wrong(
        self, cloud: Cloud, project: Path, before: str, after: str, message: str
    ) -> None:
        template = project / "broken.yaml"
        template.write_text((project / "template.yaml").read_text().replace(before, after))
        with pytest.raises(ClientError, match=message):
            cloud.deploy(template, "broken")
        cloud.client("cloudformation").delete_stack(StackName="broken")

    def test_a_layer_whose_makefile_fails(self, cloud: Cloud, project: Path) -> None:
        broken = shutil.copytree(project, project.with_name("broken"))
        (broken / "layers/tools/package/tools.py").unlink()
        with pytest.raises(RuntimeError, match=r"layer ToolsLayer could not be built: .*tools\.py"):
            cloud.deploy(broken / "template.yaml", "broken")


class TestArchive:
    """A folder comes out of a zip file as it went in."""

    def test_links_and_permissions_survive(self, tmp_path: Path) -> None:
        (tmp_path / "in/bin").mkdir(parents=True)
        (tmp_path / "in/bin/run").write_text("#!/bin/sh\n")
        (tmp_path / "in/bin/run").chmod(0o755)
        (tmp_path / "in/link").symlink_to("bin")
        archive.unpack(archive.pack(tmp_path / "in"), tmp_path / "out")
        assert os.access(tmp_path / "out/bin/run", os.X_OK)
        assert str((tmp_path / "out/link").readlink()) == "bin"

    def test_the_same_files_make_the_same_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("words")
        first = archive.pack(tmp_path)
        os.utime(tmp_path / "file", (0, 0))
        assert archive.pack(tmp_path) == first


class TestLayers:
    """A layer for another Python stands behind the virtual environment."""

    @pytest.mark.parametrize(
        ("module", "foreign"),
        [
            (f"a.{MACHINE}-x86_64-linux-gnu.so", False),
            ("a.cpython-39-x86_64-linux-gnu.so", True),
            ("a.abi3.so", False),
        ],
    )
    def test_by_its_compiled_modules(self, tmp_path: Path, module: str, foreign: bool) -> None:
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / module).touch()
        assert _split([tmp_path]) == (([], [str(tmp_path)]) if foreign else ([str(tmp_path)], []))
