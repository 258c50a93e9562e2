#!/usr/bin/env bash
# openssl: ciphers, digests, keys, certificates, CMS, and a TLS server with clients over loopback. Run by ./run.
# Keys differ from run to run; what is printed about them are verification results.
. "$(dirname "$0")/lib.sh"
need openssl /usr/bin/python3
export OPENSSL_CONF=$WORK/openssl.cnf
cat >openssl.cnf <<'END'
[req]
distinguished_name = dn
x509_extensions = ext
prompt = no
[dn]
CN = localhost
O = Test
[ext]
basicConstraints = critical,CA:true
subjectAltName = DNS:localhost,IP:127.0.0.1
END
openssl() { "${UNDER[@]}" openssl "$@"; }

random_words "$(size 50000 500)" 8 >words.txt
key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
iv=f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff
for cipher in aes-256-cbc aes-128-ctr camellia-256-cbc chacha20; do
    length=64
    [ "$cipher" != aes-128-ctr ] || length=32
    openssl enc -"$cipher" -K "${key:0:length}" -iv "$iv" -in words.txt -out "words.$cipher"
    openssl enc -d -"$cipher" -K "${key:0:length}" -iv "$iv" -in "words.$cipher" | cmp - words.txt && echo "$cipher came back"
    checksum "words.$cipher"
done
for digest in md5 sha1 sha256 sha512 sha3-256 blake2b512; do openssl dgst -r -$digest words.txt; done
openssl dgst -sha256 -hmac secret words.txt
openssl enc -base64 -in words.txt | openssl enc -base64 -d | cmp - words.txt && echo "base64 came back"
openssl enc -aes-256-cbc -pbkdf2 -iter 20000 -S 0011223344556677 -k password -in words.txt | checksum
openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:a -kdfopt salt:b -kdfopt iter:3000 PBKDF2
openssl prime -generate -bits 256 | grep -c '^[0-9]*$'

openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key 2>/dev/null || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.key 2>/dev/null
openssl genrsa -out rsa.key 2048 2>/dev/null
for kind in ec rsa; do
    openssl pkey -in $kind.key -pubout -out $kind.pub
    openssl dgst -sha256 -sign $kind.key -out $kind.sig words.txt
    openssl dgst -sha256 -verify $kind.pub -signature $kind.sig words.txt
    openssl req -new -x509 -days 10 -key $kind.key -out $kind.crt
    openssl verify -CAfile $kind.crt $kind.crt
    openssl x509 -in $kind.crt -noout -subject -issuer -ext subjectAltName
done
openssl cms -encrypt -binary -aes256 -in words.txt -outform DER -out words.cms rsa.crt
openssl cms -decrypt -binary -inform DER -in words.cms -inkey rsa.key -recip rsa.crt | checksum
openssl pkcs12 -export -inkey ec.key -in ec.crt -passout pass:x -out ec.p12
openssl pkcs12 -in ec.p12 -passin pass:x -nokeys 2>/dev/null | grep -c 'BEGIN CERTIFICATE'

mkdir www
cp words.txt www/
port=$(free_port)
cd www
daemon ../server.log "${UNDER[@]}" openssl s_server -quiet -accept "127.0.0.1:$port" -cert ../ec.crt -key ../ec.key -WWW 2>/dev/null
cd ..
server=$daemon
wait_until 20 openssl s_client -connect "127.0.0.1:$port" -brief </dev/null
check_mapped "$server"
for version in -tls1_2 -tls1_3; do
    for ((i = 0; i < $(size 8 1); i++)); do
        printf 'GET /words.txt HTTP/1.0\r\n\r\n' |
            openssl s_client -quiet -verify_return_error -CAfile ec.crt $version -connect "127.0.0.1:$port" 2>/dev/null |
            tail -n +4 | checksum
    done
done
kill "$server"
