"""AWS Signature Version 4 for the connection, by botocore (extra ``aws``) and opensearch-py's signer.

The connection calls the signer after compressing the body, so that the signature covers the bytes sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import cast

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.redaction import keep_secret

Signer = Callable[..., Mapping[str, str]]


def aws_signer(region: str | None, service: str = "es") -> Signer:
    """A signer with the credentials found by botocore: environment, shared files, SSO, container, instance.

    Expired credentials are renewed by botocore when the next request is signed.
    :param region: AWS region, or None for that of AWS's variables and files.
    :param service: ``es`` for OpenSearch Service, ``aoss`` for OpenSearch Serverless.
    :returns: called with method, URL and body, it returns headers.
    :raises InputError: if botocore is not installed, or there is no region.
    :raises ExternalError: if no credentials are found, or they cannot be read.
    """
    try:
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
        from botocore.session import Session  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(
            "signing requests for AWS needs botocore; install it: pip install 'haystack-crossalign[aws]'",
            source="--auth",
            seen="aws",
        ) from None
    from opensearchpy import Urllib3AWSV4SignerAuth

    # At debug level botocore logs what it signs, including the session token.
    for name in ("botocore.auth", "botocore.credentials"):
        logging.getLogger(name).setLevel(logging.INFO)
    session = Session()
    try:
        region = region or session.get_config_variable("region")
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise ExternalError(f"AWS: the credentials cannot be read ({type(error).__name__})") from None
    if not region:
        raise InputError("no AWS region is given", source="--aws-region", allowed="a region such as eu-central-1")
    if credentials is None:
        raise ExternalError(
            "AWS: no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the "
            "machine a role"
        )
    sign = cast(Signer, Urllib3AWSV4SignerAuth(credentials, region, service))

    def signed(method: str, url: str, body: bytes | None) -> Mapping[str, str]:
        try:
            headers = sign(method, url, body)
            current = credentials.get_frozen_credentials()
            keep_secret(current.secret_key)
            keep_secret(current.token or "")
            return headers
        except BotoCoreError as error:
            # Renewal can fail hours after the start; its messages may quote responses of the credential service.
            raise ExternalError(f"AWS: the credentials cannot be renewed ({type(error).__name__})") from None

    return signed
