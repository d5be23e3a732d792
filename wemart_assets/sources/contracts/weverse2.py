"""Contracts of the service's own database: posts and notices."""

from __future__ import annotations

from wemart_assets.lake.table import column
from wemart_assets.sources.contract import Contract, Kind

community_content_post = Contract(
    database="weverse2",
    name="community_content_post",
    words="One row a post, with its community. The public id is `<shard_id>-<post_local_id>`.",
    kind=Kind.SNAPSHOT,
    key=("shard_id", "post_local_id"),
    columns=(
        column("shard_id", "bigint", "shard of the post", nullable=False),
        column("post_local_id", "bigint", "number of the post in its shard", nullable=False),
        column("community_id", "bigint", "community of the post"),
    ),
)

community_content_common_notice = Contract(
    database="weverse2",
    name="community_content_common_notice",
    words="One row a notice, with what it belongs to.",
    kind=Kind.SNAPSHOT,
    key=("id",),
    columns=(
        column("id", "bigint", "notice", nullable=False),
        column("parent_id", "string", "`community-<n>`"),
    ),
)
