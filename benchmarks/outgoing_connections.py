"""Which connections the page's server makes, by strace, where a token is saved, telemetry is asked for and a proxy is
set. 0 is right: it answers, and asks nobody.

python benchmarks/outgoing_connections.py
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
from serving import serving
from synthetic import make_clip

NOWHERE = "192.0.2.1"  # an address for documents, at which nobody is
VARIABLES = {
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), f"http://{NOWHERE}:3128"),
    **dict.fromkeys(("ALL_PROXY", "all_proxy"), f"socks5h://{NOWHERE}:1080"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "[,*bad*,::"),
    "HF_TOKEN": "hf_secret",
    "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{NOWHERE}:4318",
}
PLAYLIST = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{NOWHERE}/a.ts\n#EXT-X-ENDLIST\n".encode()


def main() -> None:
    if shutil.which("strace") is None:
        sys.exit("error: strace is missing; install it, then try again")
    with TemporaryDirectory() as folder:
        trace, clip = Path(folder) / "trace", Path(folder) / "clip.mp3"
        make_clip(clip, seed=0)
        (Path(folder) / "token").write_text("hf_saved")
        tracer = ("strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=connect,openat,open", "-o", str(trace))
        with serving(*tracer, HF_HOME=folder, **VARIABLES) as server, requests.Session() as session:
            session.trust_env = False
            for path in ("/", "/docs", "/openapi.json", "/api/examples", "/api/models", "/api/health"):
                session.get(server.address + path, timeout=60).raise_for_status()
            example = session.get(f"{server.address}/api/examples", timeout=60).json()[0]["id"]
            session.post(f"{server.address}/api/examples/{example}", timeout=60).raise_for_status()
            url = f"{server.address}/api/analyses?explain=true"
            with open(clip, "rb") as file:
                session.post(url, files={"file": file}, timeout=120).raise_for_status()
            refused = session.post(url, data=PLAYLIST, timeout=60).status_code
        calls = trace.read_text(errors="replace").splitlines()
        connections = [call for call in calls if "connect(" in call]
        tokens = [call for call in calls if f'"{folder}/token' in call]
        print(
            f"{len(connections)} connections among {len(calls):,} traced calls, {len(tokens)} looks at the token; "
            f"a playlist was answered {refused}"
        )
        print("\n".join(connections[:10] + tokens[:10]))


if __name__ == "__main__":
    main()
