# The HTTP service, as docs/service.md describes it:
#   docker build -t ameli-llm .
#   docker run -p 127.0.0.1:8000:8000 -e AMELI_LLM_TOKEN -v "$PWD/DATASET:/kb:ro" -v ameli-llm:/data ameli-llm
FROM python:3.11-slim-bookworm

# OpenCV, which reads the photos for OCR, loads these two.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY pyproject.toml README.md constraints.txt overrides.txt ./
COPY ameli_llm ameli_llm
COPY retrieval retrieval
COPY eval eval
COPY prompts prompts
RUN pip install --no-cache-dir -c constraints.txt uv \
    && uv pip install --system --no-cache --compile-bytecode -c constraints.txt --override overrides.txt \
       '.[retrieval,ocr,serve]'

# Index, encoders and changes of products; the knowledge base itself is only read.
RUN useradd --system --uid 1000 ameli && mkdir /data && chown ameli /data
USER ameli
ENV AMELI_LLM_CACHE=/data/cache
VOLUME /data
WORKDIR /data
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=15m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
# uvicorn finishes what has begun before it ends: give it longer than --deadline.
STOPSIGNAL SIGTERM
ENTRYPOINT ["ameli-llm"]
CMD ["serve", "/kb", "--host", "0.0.0.0", "--changes", "/data/changes.jsonl"]
