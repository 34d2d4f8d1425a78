; The worst case for pages: 2^size small old objects, and stores to them one here, one
; there, so that a page is looked at for one word. Each part writes a quarter of them.

(define (power n) (if (= n 0) 1 (* 2 (power (- n 1)))))
(define quarter (quotient (power size) parts))

(define cells
  (let ((v (make-vector (* parts quarter))))
    (let loop ((i 0))
      (if (= i (* parts quarter))
          v
          (begin (vector-set! v i (cons i '()))
                 (loop (+ i 1)))))))

(define (part n)
  (let loop ((i 0))
    (if (< i (* 6000 size))
        (begin
          (set-cdr! (vector-ref cells (+ (* n quarter) (random quarter))) (list i))
          (loop (+ i 1)))
        (let sum ((i (* n quarter)) (total 0))
          (cond ((= i (* (+ n 1) quarter)) total)
                ((null? (cdr (vector-ref cells i))) (sum (+ i 1) total))
                (else (sum (+ i 1) (+ total (car (cdr (vector-ref cells i)))))))))))
