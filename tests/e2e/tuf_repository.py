"""Makes a TUF repository that holds one file: tuf_repository.py FOLDER FILE

FOLDER/repository is to be served; FOLDER/root.json is what a client believes to begin with.
"""

import pathlib
import sys
from datetime import datetime, timedelta, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

folder, file = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
repository = folder / "repository"
(repository / "targets").mkdir(parents=True)
expires = (datetime.now(timezone.utc) + timedelta(days=1)).replace(microsecond=0)
signer = CryptoSigner.generate_ed25519()

target = TargetFile.from_file("trusted_root.json", str(file))
targets = Targets(expires=expires)
targets.targets["trusted_root.json"] = target
content = file.read_bytes()
(repository / "targets" / f"{target.hashes['sha256']}.trusted_root.json").write_bytes(content)
(repository / "targets" / "trusted_root.json").write_bytes(content)
snapshot = Snapshot(expires=expires)
snapshot.meta = {"targets.json": MetaFile(version=1)}
timestamp = Timestamp(expires=expires)
timestamp.snapshot_meta = MetaFile(version=1)
root = Root(expires=expires, consistent_snapshot=True)
for role in ["root", "timestamp", "snapshot", "targets"]:
    root.add_key(signer.public_key, role)

names = {"1.root.json": root, "1.targets.json": targets, "1.snapshot.json": snapshot, "timestamp.json": timestamp}
for name, signed in names.items():
    metadata = Metadata(signed)
    metadata.sign(signer)
    metadata.to_file(str(repository / name))
(folder / "root.json").write_bytes((repository / "1.root.json").read_bytes())
