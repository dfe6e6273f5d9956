"""Sends a file with the client that openapi-python-client made of docs/openapi.json: tests/openapi_clients.sh runs it.

Everything goes through generated code, so what a generator does not understand of the document fails here.
"""

import json
import pathlib
import sys
import time

from openapi_client import Client
from openapi_client.api.automations import list_automations
from openapi_client.api.server import get_server
from openapi_client.api.settings import get_workers, set_workers
from openapi_client.api.uploads import create_upload, get_upload, list_uploads, pause_uploads, remove_upload
from openapi_client.models import (
    CreateUploadBody,
    ErrorBody,
    ListUploadsStatesItem,
    PauseUploadsBody,
    SetWorkersBody,
    State,
    UploadKind,
)

folder = pathlib.Path(sys.argv[1])
address = json.loads((folder / "data" / "agent.json").read_text())["address"]
client = Client(base_url=address)

assert get_server.sync(client=client).embedded_hub is True
assert list_automations.sync(client=client).automations == []

clip = folder / "clip.mov"
clip.write_bytes(b"clip")
started = create_upload.sync(client=client, body=CreateUploadBody(paths=[str(clip)]))
assert started.link.startswith("http"), started

until = time.monotonic() + 60
while (upload := get_upload.sync(started.upload_id, client=client, files=True)).state != State.COMPLETE:
    assert time.monotonic() < until, upload
    time.sleep(0.1)
assert upload.kind == UploadKind.LINK and upload.files[0].size == 4, upload

both = [ListUploadsStatesItem.COMPLETE, ListUploadsStatesItem.ERROR]
assert [one.id for one in list_uploads.sync(client=client, states=both).transfers] == [started.upload_id]
assert list_uploads.sync(client=client, states=[ListUploadsStatesItem.PAUSED]).transfers == []

refused = create_upload.sync(client=client, body=CreateUploadBody(paths=["relative"]))
assert isinstance(refused, ErrorBody) and refused.message, refused
assert set_workers.sync(client=client, body=SetWorkersBody(workers=3)).workers == 3
assert get_workers.sync(client=client).workers == 3
assert pause_uploads.sync(client=client, body=PauseUploadsBody()).paused == 0
assert remove_upload.sync_detailed(started.upload_id, client=client, x_masv="1").status_code == 204
print("a generated client sent", clip.name)
