"""Orders from the files of a bucket into a table of a database. Which bucket and which database are parameters: blocks.

    orchestrator deploy examples/lake.py:load_orders --name prod
    orchestrator deployment run load_orders/prod \
        --param bucket='{"$block": "s3-bucket/lake"}' --param database='{"$block": "sqlalchemy-connector/shop"}'

The blocks are made in the portal, or by `S3Bucket(…).save("lake")`. Rotate a key there: the next run uses the new one.
"""

from __future__ import annotations

import csv
import io

from orchestrator import flow, get_run_logger, task
from orchestrator.blocks import S3Bucket, SqlAlchemyConnector

TABLE = "CREATE TABLE IF NOT EXISTS orders (id integer PRIMARY KEY, customer text NOT NULL, cents integer NOT NULL)"
NEW = "INSERT INTO orders (id, customer, cents) VALUES (:id, :customer, :cents) ON CONFLICT (id) DO NOTHING"


@task(retries=2, retry_delay_seconds=1)
def read_orders(bucket: S3Bucket, path: str) -> list[dict[str, object]]:
    """The orders of one file."""
    text = bucket.read_path(path).decode("utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return [{"id": int(row["id"]), "customer": row["customer"], "cents": int(row["cents"])} for row in rows]


@task
def store_orders(database: SqlAlchemyConnector, orders: list[dict[str, object]]) -> None:
    """Add those that are new, in one transaction."""
    database.execute_many(NEW, orders)


@flow
def load_orders(bucket: S3Bucket, database: SqlAlchemyConnector, folder: str = "orders") -> int:
    """Load all files of a folder; how many orders there are then.

    Args:
        bucket: Where the files are.
        database: Where the table is, or will be.
        folder: Of the bucket.
    """
    with database:
        database.execute(TABLE)
        for found in bucket.list_objects(folder):
            store_orders(database, read_orders(bucket, found["Path"]))
        (count,) = database.fetch_one("SELECT count(*) FROM orders")
    get_run_logger().info("%d orders are in the table.", count)
    return count
