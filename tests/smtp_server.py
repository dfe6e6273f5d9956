"""A mail server for tests: python3 smtp_server.py starttls|tls FOLDER REFUSALS [PORT [ADDRESS]]

Prints its port. FOLDER holds cert.pem and key.pem; each mail becomes a file in it. The first REFUSALS mails are refused for now.
Nothing is taken without encryption and the login of the tests.
"""

import asyncio
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

encryption, folder, refusals = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
port = int(sys.argv[4]) if len(sys.argv) > 4 else 0
address = sys.argv[5] if len(sys.argv) > 5 else "127.0.0.1"
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(folder / "cert.pem", folder / "key.pem")


class Handler:
    count = 0

    async def handle_DATA(self, server, session, envelope):
        Handler.count += 1
        if Handler.count <= refusals:
            return "451 try again later"
        encrypted = session.ssl is not None or encryption == "tls"
        head = [f"MAIL FROM {envelope.mail_from}", f"RCPT TO {','.join(envelope.rcpt_tos)}"]
        head += [f"AUTH {session.auth_data}", f"TLS {'yes' if encrypted else 'no'}", ""]
        new = folder / f"{Handler.count}.new"
        new.write_bytes("\r\n".join(head).encode() + envelope.content)
        new.rename(folder / f"{Handler.count}.mail")
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"hub", b"mail secret")
    return AuthResult(success=right, handled=False, auth_data="hub" if right else None)


def session():
    starttls = encryption == "starttls"
    return SMTP(
        Handler(),
        hostname="localhost",
        authenticator=authenticate,
        auth_required=True,
        auth_require_tls=starttls,
        require_starttls=starttls,
        tls_context=context if starttls else None,
    )


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, address, port, ssl=context if encryption == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
