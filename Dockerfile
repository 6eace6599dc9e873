# One image, every command: docker run ... tocsin ingest
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/tocsin
# Dependencies first: they change less often than the code, and make the large layer.
COPY requirements/run.txt requirements/tools.txt requirements/
RUN /opt/tocsin/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
# The build backend stays in an environment of its own, and out of the image.
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/tools.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/build/dist . \
    && /opt/tocsin/bin/pip install --no-cache-dir --no-deps --no-index /opt/build/dist/*.whl

FROM python:3.12-slim
COPY --from=build /opt/tocsin /opt/tocsin
ENV PATH=/opt/tocsin/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home tocsin
USER 10001
WORKDIR /tmp
ENTRYPOINT ["tocsin"]
CMD ["--help"]
