"""The load on a server, where the server dies."""

import argparse
import subprocess
import sys

import pytest

pytest.importorskip('httpx2', reason="needs the extra 'tests'")
from projects.serve import load

# Answers four requests, of which the last one ends the server.
SERVER = """
import http.server, os, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    count = 0

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        Handler.count += 1
        if Handler.count > 3:
            os._exit(1)
        self.rfile.read(int(self.headers['content-length']))
        self.send_response(503)
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


REQUEST = load.Request('a.png', b'x', {}, None, 422)


@pytest.fixture
def server():
    command = [sys.executable, '-c', SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        server.address = f'http://127.0.0.1:{server.stdout.readline().strip()}'
        yield server
        server.kill()


def test_the_load_ends_with_the_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(load, 'requests', lambda: [REQUEST])
    args = argparse.Namespace(requests=6, at_once=1, minutes=9, every=0)
    with pytest.raises(SystemExit, match=r'error: the server ended; answers: .*WRONG a\.png: '):
        load.run(server.address, server, tmp_path, args)


def test_the_server_is_called_without_a_proxy(server, monkeypatch):
    monkeypatch.setenv('http_proxy', 'http://127.0.0.1:1')  # nobody listens there
    monkeypatch.delenv('no_proxy', raising=False)
    monkeypatch.delenv('NO_PROXY', raising=False)
    assert load.send_all(server.address, [REQUEST], 1) == {'busy': 1}


def test_an_answer_that_does_not_come_is_wrong():
    with load.connect('http://127.0.0.1:1') as client:
        assert load.send(client, REQUEST).startswith('WRONG a.png: ConnectError: ')
