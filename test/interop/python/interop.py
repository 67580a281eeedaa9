"""py-spiffe as a reader of a Workload API, and as a judge of documents.

The tests in the folder above run it. It prints one JSON object a line.
"""

import base64
import json
import platform
import sys
from importlib.metadata import version

from cryptography.hazmat.primitives.serialization import Encoding
from spiffe import JwtBundle, JwtSvid, SpiffeId, TrustDomain, WorkloadApiClient, X509Svid


def say(value):
    print(json.dumps(value), flush=True)


def der(certificate):
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def tell_version():
    say({"version": version("spiffe"), "runtime": f"Python {platform.python_version()}"})


def read_x509(socket):
    with WorkloadApiClient(socket_path=socket) as client:
        context = client.fetch_x509_context(timeout=10)
        bundles = client.fetch_x509_bundles(timeout=10)
    say(
        {
            "svids": [
                {"id": str(svid.spiffe_id), "chain": [der(one) for one in svid.cert_chain]}
                for svid in context.x509_svids
            ],
            "bundles": {
                bundle.trust_domain.name: [der(one) for one in bundle.x509_authorities]
                for bundle in bundles.bundles
            },
        }
    )


def read_jwt(socket, audience):
    with WorkloadApiClient(socket_path=socket) as client:
        svids = client.fetch_jwt_svids({audience}, timeout=10)
        bundles = client.fetch_jwt_bundles(timeout=10)
        validated = client.validate_jwt_svid(svids[0].token, audience, timeout=10)
    bundle = bundles.get_bundle_for_trust_domain(svids[0].spiffe_id.trust_domain)
    verified = JwtSvid.parse_and_validate(svids[0].token, bundle, {audience})
    say(
        {
            "svids": [{"id": str(svid.spiffe_id), "token": svid.token} for svid in svids],
            "keyIds": {
                one.trust_domain.name: sorted(one.jwt_authorities) for one in bundles.bundles
            },
            "validated": str(validated.spiffe_id),
            "verified": str(verified.spiffe_id),
        }
    )


def judge(asked):
    kind = asked["kind"]
    if kind == "id":
        return SpiffeId(asked["text"])
    if kind == "svid":
        data, key = (base64.b64decode(asked[name]) for name in ("data", "key"))
        return X509Svid.parse_raw(data, key).spiffe_id
    if kind == "jwt":
        ((name, document),) = asked["bundles"].items()
        bundle = JwtBundle.parse(TrustDomain(name), base64.b64decode(document))
        return JwtSvid.parse_and_validate(asked["text"], bundle, set(asked["audience"])).spiffe_id
    raise ValueError(f"unknown kind {kind}")


def oracle():
    for line in sys.stdin:
        try:
            say({"accept": True, "id": str(judge(json.loads(line)))})
        except Exception as error:  # whatever it says no with
            say({"accept": False, "error": f"{type(error).__name__}: {error}"})


COMMANDS = {"version": tell_version, "x509": read_x509, "jwt": read_jwt, "oracle": oracle}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)
