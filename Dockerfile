# The web page in a container:
#
#     docker build --tag music-learning .
#     docker run --rm --publish 127.0.0.1:7860:7860 music-learning
#
# then open http://127.0.0.1:7860. Not tried: where this was written there was no Docker, and download.pytorch.org was
# out of reach. What the last line starts, and the list of packages, are those of `make app`, which is tested.
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 user
WORKDIR /home/user/app

COPY requirements.txt requirements-app.txt ./
# PyTorch's build for CPUs has 200 MB, PyPI's 5 GB.
RUN pip install --no-cache-dir $(grep -E '^torch(audio)?==' requirements.txt) \
        --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir --requirement requirements-app.txt

COPY --chown=user . .
USER user
ENV PYTHONDONTWRITEBYTECODE=1
EXPOSE 7860
# SPACE_HOST is the name that Hugging Face gives a Space. Other arguments stand behind the image's name.
ENTRYPOINT ["sh", "-c", "exec python app.py --host 0.0.0.0 ${SPACE_HOST:+--public-host $SPACE_HOST} \"$@\"", "--"]
