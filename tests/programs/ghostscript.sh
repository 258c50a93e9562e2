#!/usr/bin/env bash
# ghostscript: a generated document of text, curves, patterns and recursion, drawn to bitmaps directly and by way of PDF.
# Run by ./run.
. "$(dirname "$0")/lib.sh"
need gs

cat >page.ps <<'END'
%!PS
/seed 7 def
/rnd { /seed seed 16807 mul 2147483 mod def seed exch mod } def
/tree { % depth length
    exch dup 0 gt {
        exch gsave
        0 0 moveto 0 1 index lineto stroke
        0 1 index translate
        1 index 1 sub 1 index 0.72 mul 25 rotate tree
        1 index 1 sub 1 index 0.68 mul -52 rotate tree
        grestore pop pop
    } { pop pop } ifelse
} bind def
/page { % number
    /n exch def
    n 0.1 mul dup floor sub 0.5 0.7 setrgbcolor
    gsave 300 120 translate 1 setlinewidth n 3 mod 7 add 90 tree grestore
    0 1 60 { /i exch def
        i 60 div n 10 div dup floor sub 0.4 sethsbcolor
        newpath 500 rnd 700 rnd moveto 500 rnd 700 rnd 500 rnd 700 rnd 500 rnd 700 rnd curveto
        i 2 mod 0 eq { stroke } { gsave clip 100 rnd 10 add setlinewidth stroke grestore newpath } ifelse
    } for
    /Times-Roman findfont 12 scalefont setfont 0 setgray
    0 1 45 { /i exch def 40 760 i 15 mul sub moveto
        (Line ) show i 10 string cvs show ( of page ) show n 10 string cvs show
        ( and a good deal of text that goes on to the right edge of it, 0123456789) show } for
    /Helvetica-Bold findfont 40 scalefont setfont
    100 300 moveto (Outline) false charpath 2 setlinewidth stroke
    << /ShadingType 2 /ColorSpace /DeviceRGB /Coords [0 0 300 300] /Extend [true true]
       /Function << /FunctionType 2 /Domain [0 1] /C0 [1 0 n 20 div] /C1 [0 1 0] /N 1.5 >> >>
    gsave 350 500 150 0 360 arc clip newpath shfill grestore
    gsave 60 60 translate 120 120 scale 64 64 8 [64 0 0 -64 0 64]
        { 64 string 0 1 63 { 2 copy 255 rnd put pop } for } image grestore
    /d 500 dict def 0 1 499 { dup 20 string cvs cvn exch [ exch dup dup ] d 3 1 roll put } for
    showpage
} bind def
1 1 pages { page } for
END
pages=$(size 10 1)
gs() { "${UNDER[@]}" gs -q -dSAFER -dNOPAUSE -dBATCH -dPDFSTOPONERROR "$@"; }
gs -sDEVICE=ppmraw -r72 -o 'ps%d.ppm' -c "/pages $pages def" -f page.ps
gs -sDEVICE=pnggray -r100 -dNumRenderingThreads=3 -dBufferSpace=300000 -dMaxBitmap=0 -dTextAlphaBits=4 -dGraphicsAlphaBits=4 -o 'gray%d.png' -c "/pages $pages def" -f page.ps
gs -sDEVICE=pdfwrite -o page.pdf -c "/pages $pages def" -f page.ps
gs -sDEVICE=pgmraw -r60 -o 'pdf%d.pgm' page.pdf
gs -sDEVICE=txtwrite -o text.txt page.pdf
gs -sDEVICE=tiffg4 -r150 -o fax.tif page.pdf
checksum ps*.ppm gray*.png pdf*.pgm text.txt
echo '%!PS
(abc) 5 add' >wrong.ps
gs -sDEVICE=nullpage wrong.ps 2>&1 | sed -n 1,3p || echo "status $?"
