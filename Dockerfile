# One image, every command: docker run ... tocsin ingest
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/tocsin
# Dependencies first: they change less often than the code, and make the large layer.
COPY pyproject.toml README.md LICENSE ./
RUN mkdir -p src/tocsin && touch src/tocsin/__init__.py \
    && /opt/tocsin/bin/pip install --no-cache-dir . && /opt/tocsin/bin/pip uninstall -y tocsin
COPY src src
RUN /opt/tocsin/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
COPY --from=build /opt/tocsin /opt/tocsin
ENV PATH=/opt/tocsin/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home tocsin
USER 10001
WORKDIR /tmp
ENTRYPOINT ["tocsin"]
CMD ["--help"]
