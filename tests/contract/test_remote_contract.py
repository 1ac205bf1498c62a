"""The contract over the network: servers of S3, of Google's and Azure's stores, and of HTTP."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from connectors import Source, open_source
from connectors.testing import SourceContract
from tests.contract.test_source_contract import split
from tests.stores import S3, Azure, Bucket, Google, azure_server, google_server, s3_server


@pytest.fixture(scope="module")
def authority() -> Iterator[str]:
    """Run a server of S3."""
    with s3_server() as authority:
        yield authority


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    """Run a server of Google's store."""
    with google_server() as authority:
        yield authority


@pytest.fixture(scope="module")
def azure() -> Iterator[str]:
    """Run a server of Azure's store."""
    with azure_server() as authority:
        yield authority


def csv(rows: pa.Table) -> bytes:
    """Return rows as CSV."""
    text = io.BytesIO()
    pacsv.write_csv(rows, text)
    return text.getvalue()


def parquet(rows: pa.Table, row_group_size: int = 17) -> bytes:
    """Return rows as Parquet."""
    file = io.BytesIO()
    pq.write_table(rows, file, row_group_size=row_group_size)
    return file.getvalue()


class StoreContract(SourceContract):
    """Remove what is in a store, not in the folder."""

    store: Bucket

    def remove(self, folder: Path) -> list[str]:
        """Remove all objects."""
        keys = self.store.keys()
        for key in keys:
            self.store.delete(key)
        return keys


class RemoteContract(StoreContract):
    """Provide the server to the sources."""

    store: S3

    @pytest.fixture(autouse=True)
    def bucket(self, authority: str) -> None:
        """Make a bucket of the class's own."""
        self.store = S3(authority, type(self).__name__.lower())


class TestS3Parquet(RemoteContract):
    """One Parquet object of small row groups."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one object."""
        self.store.put("a.parquet", parquet(rows))
        return open_source(self.store.s3("a.parquet"))


class TestS3ParquetFolder(RemoteContract):
    """A folder with folders of Parquet objects, one of them empty."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four objects."""
        for i, part in enumerate(split(rows)):
            self.store.put(f"folder/2023/day{i}/part.parquet", parquet(part, 9))
        return open_source(self.store.s3("folder/"))


class TestS3Csv(RemoteContract):
    """One CSV object, read in blocks of 64 bytes."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one object."""
        self.store.put("a.csv", csv(rows))
        return open_source(self.store.s3("a.csv"), block_size=64)


class TestS3GzipPattern(RemoteContract):
    """A pattern that matches several compressed CSV objects."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four objects."""
        for i, part in enumerate(split(rows)):
            self.store.put(f"deep/{i}/part.csv.gz", gzip.compress(csv(part)))
        return open_source(self.store.s3("deep/**/*.csv.gz"), block_size=200)


class TestHttpCsv(RemoteContract):
    """One CSV file of a web server."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one object."""
        self.store.put("a.csv", csv(rows))
        return open_source(self.store.http("a.csv"), block_size=64)


class TestHttpParquet(RemoteContract):
    """One Parquet file of a web server, with a signed address."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one object."""
        self.store.put("a.parquet", parquet(rows))
        return open_source(f"{self.store.http('a.parquet')}?signature=canary")


class GoogleContract(StoreContract):
    """Provide the server to the sources."""

    store: Google

    @pytest.fixture(autouse=True)
    def bucket(self, google: str) -> None:
        """Make a bucket of the class's own, once."""
        self.store = Google(google, type(self).__name__.lower())


class TestGoogleCsv(GoogleContract):
    """One CSV object, read in blocks of 64 bytes."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one object."""
        self.store.put("a.csv", csv(rows))
        return open_source(self.store.address("a.csv"), block_size=64)


class TestGoogleParquetFolder(GoogleContract):
    """A folder of Parquet objects, one of them empty."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four objects."""
        for i, part in enumerate(split(rows)):
            self.store.put(f"folder/part-{i}.parquet", parquet(part, 9))
        return open_source(self.store.address("folder/"))


class AzureContract(StoreContract):
    """Provide the server to the sources."""

    store: Azure

    @pytest.fixture(autouse=True)
    def bucket(self, azure: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make a container of the class's own."""
        monkeypatch.setenv("AZURE_STORAGE_KEY", Azure.KEY)
        self.store = Azure(azure, type(self).__name__.lower())


class TestAzureCsv(AzureContract):
    """One CSV object, read in blocks of 64 bytes."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write one object."""
        self.store.put("a.csv", csv(rows))
        return open_source(self.store.address("a.csv"), block_size=64)


class TestAzureParquetPattern(AzureContract):
    """A pattern that matches several Parquet objects."""

    def make(self, rows: pa.Table, folder: Path) -> Source:
        """Write four objects."""
        for i, part in enumerate(split(rows)):
            self.store.put(f"deep/{i}/part.parquet", parquet(part, 9))
        return open_source(self.store.address("deep/**/*.parquet"))
