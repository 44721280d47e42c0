# docker build -t alps_exp . && docker run --rm -v "$PWD/outputs:/runs/outputs" alps_exp restore data=astronaut logger=none
# For a GPU, start from an image of PyTorch with CUDA in place of this one.
FROM python:3.11-slim
WORKDIR /alps_exp
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt '.[demo,export]'
RUN alps --version && alps restore data=astronaut sampler=map dry_run=true
WORKDIR /runs
ENTRYPOINT ["alps"]
