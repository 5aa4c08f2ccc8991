"""Where a stored member of a zip lies in its file, so that it can be mapped."""

import zipfile
from typing import BinaryIO

LOCAL_HEADER = 30  # bytes, before name and extra field
SIGNATURE = b"PK\3\4"


def data_offset(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: behind its local header, whose two lengths differ from the directory's.

    Raises:
        BadZipFile: there is no local header where the directory says.
    """
    file.seek(member.header_offset)
    header = file.read(LOCAL_HEADER)
    if len(header) < LOCAL_HEADER or not header.startswith(SIGNATURE):
        raise zipfile.BadZipFile(f"{member.filename} is not where the directory says")
    name, extra = header[26:28], header[28:30]
    return member.header_offset + LOCAL_HEADER + int.from_bytes(name, "little") + int.from_bytes(extra, "little")
